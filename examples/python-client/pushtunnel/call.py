"""One call on the wire: what comes, what goes, and its end. Section 3."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import grpc
import pushtunnel_pb2 as pb

from . import limits, metadata
from .errors import ProtocolError, limit_details
from .incoming import Incoming
from .outbox import Outbox


@dataclass(frozen=True)
class Link:
    """What the calls of a session share."""

    outbox: Outbox
    limits: limits.Limits
    peer: pb.Hello
    """The server's hello."""
    target: str
    """Whom the session is with, for people."""


class Call:
    """A call is over when its end is on its way, or nobody waits for it any more."""

    def __init__(self, call_id: int, begin: pb.Begin, link: Link) -> None:
        self.id = call_id
        self.begin = begin
        self.link = link
        self.over = False
        self.handled = False  # whether the handler was called
        self.deadline: float | None = None  # by the clock of the loop
        self.on_over: list[Callable[[], None]] = []
        self._incoming = Incoming(link.limits.call_window, self._give_back)
        self._window = link.peer.call_window
        self._grew = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, run: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs the handler in a task of its own, until the deadline at most."""
        self._task = asyncio.create_task(run)
        if self.begin.HasField("timeout_us"):
            loop = asyncio.get_running_loop()
            self.deadline = loop.time() + self.begin.timeout_us / 1e6
            self._timer = loop.call_at(self.deadline, self._expire)
        return self._task

    def receive(self, frame: pb.Frame) -> None:
        """Takes a frame of the call, in the order of its parts."""
        if frame.window:
            self._window += frame.window
            if self._window > limits.MAX_WINDOW:
                raise ProtocolError("too much window")
            self._grew.set()
        if frame.HasField("message"):
            self._incoming.piece(frame)
        elif frame.message_size or frame.compressed or frame.blocked:
            raise ProtocolError("parts of a message without one")
        if frame.half_close:
            self._incoming.half_close()
        if frame.cancel:
            self.stop()

    async def read(self) -> tuple[bytes, bool] | None:
        """Returns the next message; None after the last."""
        return await self._incoming.read(self.link.limits.max_message)

    def header(self, header: pb.Metadata) -> None:
        """Sends the response metadata."""
        self.link.outbox.control(pb.Frame(call_id=self.id, header=header))

    async def write(self, data: bytes, end: pb.End | None = None) -> None:
        """Sends a message, in pieces if need be, and the end with it if there is one."""
        async with self._writing:
            if self.over:
                raise asyncio.CancelledError("the call is over")
            at = 0
            while True:
                cost = 0 if at else limits.MESSAGE_COST
                want = min(len(data) - at, limits.GOOD_PIECE)
                least = cost + min(want, limits.MIN_PIECE)
                while self._window < max(least, 1):
                    self._grew.clear()
                    await self._grew.wait()
                size = min(want, self._window - cost)
                self._window -= size + cost
                frame = pb.Frame(call_id=self.id, message=data[at : at + size])
                if at == 0 and size < len(data):
                    frame.message_size = len(data)
                at += size
                if at == len(data):
                    if end:
                        frame.end.CopyFrom(end)
                else:
                    frame.blocked = self._window < limits.MIN_PIECE
                await self.link.outbox.piece(frame)
                if at == len(data):
                    break
        if end:
            self.stop()

    def finish(self, end: pb.End) -> None:
        """Ends the call without a message, and the handler with it if it runs still."""
        if not self.over:
            self.link.outbox.control(pb.Frame(call_id=self.id, end=end))
            self.stop()

    def stop(self) -> None:
        """Ends the call, and the handler with it, without a word."""
        if self.over:
            return
        self.over = True
        if self._timer:
            self._timer.cancel()
        if self._task and self._task is not asyncio.current_task():
            self._task.cancel()
        for callback in self.on_over:
            callback()

    def _expire(self) -> None:
        code = grpc.StatusCode.DEADLINE_EXCEEDED
        self.finish(failure(code, "pushtunnel: the deadline has passed", refused=not self.handled))

    def _give_back(self, size: int) -> None:
        if not self.over:
            self.link.outbox.control(pb.Frame(call_id=self.id, window=size))


def failure(
    code: grpc.StatusCode, message: str, details: bytes = b"", refused: bool = False, limit: str = ""
) -> pb.End:
    """Returns an end that is not OK. limit is the limit of this end that was hit."""
    if limit:
        details = limit_details(code, message, limit)
    text = message.encode("utf-8", "surrogateescape")
    status = pb.Status(code=code.value[0], message=text, details=details)
    return pb.End(status=status, refused=refused)


def end_cost(end: pb.End) -> int:
    """Returns what an end costs of the server's max_metadata."""
    return metadata.cost(end.trailer) + len(end.status.message) + len(end.status.details)
