"""The receiving half of a call: messages from the server. Sections 3 and 4."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import pushtunnel_pb2 as pb

from . import limits
from .errors import ProtocolError


class TooLarge(Exception):
    """A message is larger than the limit. It is not read."""


class Incoming:
    """Keeps pieces until the handler reads them, and gives their window back then."""

    def __init__(self, window: int, give_back: Callable[[int], None]) -> None:
        self._pieces: deque[tuple[pb.Frame, int]] = deque()
        self._size = window
        self._window = window  # what the server may still send
        self._owed = 0  # what is read and not given back
        self._missing = 0  # of the message that is coming
        self._closed = False
        self._arrived = asyncio.Event()
        self._give_back = give_back

    def piece(self, frame: pb.Frame) -> None:
        """Takes a message or a piece of one."""
        size, cost = len(frame.message), len(frame.message)
        if self._closed:
            raise ProtocolError("a message after half_close")
        if size > limits.MAX_PIECE:
            raise ProtocolError(f"a piece of {size} bytes")
        if self._missing == 0:
            cost += limits.MESSAGE_COST
            if frame.message_size:
                if frame.message_size <= size:
                    raise ProtocolError("a first piece as large as its message")
                self._missing = frame.message_size - size
        elif frame.message_size or frame.compressed or not 0 < size <= self._missing:
            raise ProtocolError("a piece that does not continue its message")
        else:
            self._missing -= size
        if cost > self._window:
            raise ProtocolError("more bytes than the window")
        self._window -= cost
        self._pieces.append((frame, cost))
        self._arrived.set()

    def half_close(self) -> None:
        """Takes the end of the messages."""
        if self._closed or self._missing:
            raise ProtocolError("half_close where it may not come")
        self._closed = True
        self._arrived.set()

    async def read(self, limit: int) -> tuple[bytes, bool] | None:
        """Returns the next message, and whether it is compressed; None after the last."""
        first = await self._next()
        if first is None:
            return None
        size = first.message_size or len(first.message)
        if size > limit:
            raise TooLarge(f"a message of {size} bytes; the limit is {limit}")
        if size == len(first.message):
            return first.message, first.compressed
        whole = bytearray(first.message)
        while len(whole) < size:
            piece = await self._next()
            assert piece is not None  # half_close does not come before the last piece
            whole += piece.message
        return bytes(whole), first.compressed

    async def _next(self) -> pb.Frame | None:
        while not self._pieces:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        frame, cost = self._pieces.popleft()
        self._owed += cost
        if self._owed * 2 >= self._size and not self._closed:
            self._window += self._owed
            self._give_back(self._owed)
            self._owed = 0
        return frame
