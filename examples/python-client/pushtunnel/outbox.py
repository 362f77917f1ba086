"""What is to be sent on a session, in which order."""

from __future__ import annotations

import asyncio
from collections import deque

import pushtunnel_pb2 as pb

from . import limits


class Outbox:
    """Fills batches: frames without messages first, then the calls in turn.

    Each call has one piece in it at a time, and puts the next one in when that is taken.
    So nothing but a queue is needed for the calls to take turns.
    """

    def __init__(self) -> None:
        self._control: deque[pb.Frame] = deque()
        self._pieces: deque[tuple[pb.Frame, asyncio.Future[None]]] = deque()
        self._wake = asyncio.Event()
        self._closed = False
        self._sent = 0
        self._confirmed = 0
        self._received = 0
        self._told = 0

    def control(self, frame: pb.Frame) -> None:
        """Sends a frame without a message."""
        if not self._closed:
            self._control.append(frame)
            self._wake.set()

    async def piece(self, frame: pb.Frame) -> None:
        """Sends a frame with a message, and returns when it is on its way."""
        taken = asyncio.get_running_loop().create_future()
        self._pieces.append((frame, taken))
        self._wake.set()
        await taken

    def close(self) -> None:
        """Sends what is there, and nothing after it."""
        self._closed = True
        self._wake.set()

    def close_with(self, frame: pb.Frame) -> None:
        """Sends a last frame and nothing else."""
        self._control.clear()
        self._pieces.clear()
        self.control(frame)
        self.close()

    def received(self, size: int) -> None:
        """Counts an encoded batch that has come. Section 5."""
        self._received += size
        if self._received - self._told >= limits.CONFIRM_ALONE:
            self._wake.set()

    def confirmed(self, total: int) -> bool:
        """Takes the server's count. It returns False if so much was never sent."""
        self._confirmed = max(self._confirmed, total)
        self._wake.set()
        return total <= self._sent

    def sent(self, size: int) -> None:
        """Counts an encoded batch that is sent."""
        self._sent += size

    async def next(self) -> pb.Batch | None:
        """Returns the next batch; None at the end."""
        while True:
            self._wake.clear()
            if batch := self._fill():
                return batch
            if self._closed and not self._pieces:
                return None
            await self._wake.wait()

    def _fill(self) -> pb.Batch | None:
        batch = pb.Batch()
        room = limits.GOOD_BATCH - 16  # what "received" takes
        owed = self._received - self._told
        while self._control and (not batch.frames or _size(self._control[0]) <= room):
            frame = self._control.popleft()
            room -= _size(frame)
            batch.frames.append(frame)
        while self._pieces and self._sent - self._confirmed < limits.MAX_UNCONFIRMED:
            frame, taken = self._pieces[0]
            if not taken.done():  # its call has not ended meanwhile
                if batch.frames and _size(frame) > room:
                    break
                room -= _size(frame)
                batch.frames.append(frame)
                taken.set_result(None)
            self._pieces.popleft()
        if owed >= limits.CONFIRM_ALONE or owed >= limits.CONFIRM_ALONG and batch.frames:
            batch.frames.append(pb.Frame(received=self._received))
            self._told = self._received
        return batch if batch.frames else None


def _size(frame: pb.Frame) -> int:
    return frame.ByteSize() + 4  # with the key and the length of the field
