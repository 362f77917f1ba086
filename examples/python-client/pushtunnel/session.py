"""One session: from the hello to the end of the stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import pushtunnel_pb2 as pb
from google.protobuf.message import DecodeError

from . import gzip, limits, metadata
from .call import Call, Link, failure
from .context import Context
from .errors import Ended, ProtocolError, ended
from .handling import handle
from .outbox import Outbox

METHOD = "/pushtunnel.v1.PushTunnel/Connect"

_OF_SESSION = ("hello", "ping", "pong", "received", "go_away", "done", "close")
_OF_CALL = ("begin", "header", "message", "half_close", "end", "cancel", "window")
_OF_CALL += ("message_size", "compressed", "blocked")

Find = Callable[[str, metadata.Pairs], "grpc.RpcMethodHandler | None"]


class Session:
    """A session on a channel, which it closes. Call open, then run, each once."""

    def __init__(self, channel: grpc.aio.Channel, target: str, find: Find, own: limits.Limits) -> None:
        self.hello = pb.Hello()  # the server's
        self.moving: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """Seconds to wait; it is set when the server wants the client to move."""
        self.end: Ended | None = None
        self.began = time.monotonic()
        self._channel = channel
        self._target = target
        self._find = find
        self._own = own
        self._outbox = Outbox()
        self._calls: dict[int, Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_id = 0
        self._first: pb.Batch | None = None
        self._heard = time.monotonic()
        self._done = asyncio.Event()  # the server begins no more calls
        self._idle = asyncio.Event()  # no call is under way
        self._idle.set()

    async def open(self, claims: list[tuple[str, str | bytes]], previous: str, lost: bool) -> None:
        """Opens the stream and says hello. It raises Ended if that fails."""
        hello = pb.Hello(
            version=1,
            max_calls=self._own.max_calls,
            call_window=self._own.call_window,
            max_metadata=self._own.max_metadata,
            previous_session=previous,
            previous_lost=lost,
        )
        self._stream = self._channel.stream_stream(METHOD)(metadata=claims)
        try:
            async with asyncio.timeout(limits.HELLO_TIMEOUT):
                await self._open(hello)
        except TimeoutError:
            self.end = Ended(grpc.StatusCode.DEADLINE_EXCEEDED, "no hello from the server")
        except ProtocolError as e:
            self.end = Ended(grpc.StatusCode.INTERNAL, f"protocol error: {e}")
        finally:
            if self._first is None:
                self._stream.cancel()
                await self._channel.close()
        if self.end:
            raise self.end

    async def _open(self, hello: pb.Hello) -> None:
        try:
            await self._send(pb.Batch(frames=[pb.Frame(hello=hello)]))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the status says why
        batch = await self._receive()
        if batch is None:
            return
        if not batch.frames:
            raise ProtocolError("no hello")
        first = batch.frames.pop(0)
        if first.HasField("close"):
            self.end = _of(first.close)
            return
        if first.call_id or not first.HasField("hello"):
            raise ProtocolError("no hello")
        self.hello = first.hello
        if not first.hello.session_id or first.hello.call_window < limits.MIN_WINDOW:
            raise ProtocolError("a bad hello")
        if first.hello.version < 1:
            raise Ended(grpc.StatusCode.FAILED_PRECONDITION, "the server speaks no version")
        self._link = Link(self._outbox, self._own, first.hello, self._target)
        self._first = batch

    async def run(self) -> Ended:
        """Serves calls until the session ends, and returns how it did."""
        others = [asyncio.create_task(self._write()), asyncio.create_task(self._beat())]
        try:
            self.end = await self._read()
        except ProtocolError as e:
            self.end = Ended(grpc.StatusCode.INTERNAL, f"protocol error: {e}")
            await self._say_close(self.end, others[0])
        except asyncio.CancelledError:
            if self.end is None:  # not by _beat or part
                raise
        finally:
            for call in list(self._calls.values()):
                call.stop()
            for task in others:
                task.cancel()
            self._done.set()
            self._stream.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._channel.close()
        return self.end

    async def part(self) -> None:
        """Asks for no more calls, answers those under way and ends the stream."""
        self._outbox.control(pb.Frame(go_away=pb.GoAway()))
        await self._done.wait()
        await self._idle.wait()
        self._outbox.close()
        await asyncio.sleep(limits.PARTING_TIMEOUT)
        if self.end is None:
            self.end = Ended(grpc.StatusCode.OK, "parted")
            self._stream.cancel()

    # The three that run as long as the session.

    async def _read(self) -> Ended:
        batch = self._first
        while batch is not None:
            for frame in batch.frames:
                if frame.HasField("close"):
                    return _of(frame.close)
                if frame.HasField("begin") and len(self._tasks) >= self._own.max_calls:
                    await self._settle()
                self._frame(frame)
            batch = await self._receive()
        assert self.end is not None
        return self.end

    async def _write(self) -> None:
        try:
            while batch := await self._outbox.next():
                await self._send(batch)
            await self._stream.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the reader sees it, too

    async def _beat(self) -> None:
        interval = self.hello.heartbeat_ms / 1000
        count = 0
        while interval:
            heard = self._heard
            await asyncio.sleep(max(0.0, heard + interval - time.monotonic()))
            if self._heard != heard:
                continue
            count += 1
            self._outbox.control(pb.Frame(ping=count))
            await asyncio.sleep(interval)
            if self._heard == heard:
                self.end = Ended(grpc.StatusCode.UNAVAILABLE, "the server is silent")
                self._stream.cancel()
                return

    async def _settle(self) -> None:
        """Lets handlers return that are cancelled. They count until they have."""
        for _ in range(3):
            await asyncio.sleep(0)

    # Frames.

    def _frame(self, frame: pb.Frame) -> None:
        session = [p for p in _OF_SESSION if _has(frame, p)]
        call = [p for p in _OF_CALL if _has(frame, p)]
        if not session and not call:
            if frame.critical:
                raise ProtocolError("an unknown frame that is critical")
        elif frame.call_id == 0 and not call:
            self._of_session(frame)
        elif frame.call_id != 0 and not session:
            self._of_call(frame)
        else:
            raise ProtocolError(f"{', '.join(session + call)} with call id {frame.call_id}")

    def _of_session(self, frame: pb.Frame) -> None:
        if frame.HasField("hello"):
            raise ProtocolError("a second hello")
        if frame.ping:
            self._outbox.control(pb.Frame(pong=frame.ping))
        if frame.received and not self._outbox.confirmed(frame.received):
            raise ProtocolError("received more than was sent")
        if frame.HasField("go_away") and not self.moving.done():
            self.moving.set_result(frame.go_away.reconnect_after_ms / 1000)
        if frame.done:
            self._done.set()

    def _of_call(self, frame: pb.Frame) -> None:
        if frame.HasField("header") or frame.HasField("end"):
            raise ProtocolError("a handler's part from the caller")
        if frame.HasField("begin"):
            self._begin(frame)
        elif frame.call_id > self._last_id or frame.call_id % 2 == 0:
            raise ProtocolError(f"a frame of call {frame.call_id}, which was never begun")
        elif call := self._calls.get(frame.call_id):
            call.receive(frame)

    def _begin(self, frame: pb.Frame) -> None:
        begin = frame.begin
        if frame.call_id <= self._last_id or frame.call_id % 2 == 0:
            raise ProtocolError(f"a begin with call id {frame.call_id}")
        self._last_id = frame.call_id
        call = Call(frame.call_id, begin, self._link)
        if len(self._tasks) >= self._own.max_calls:
            return self._refuse(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls at a time", "calls")
        if metadata.cost(begin.metadata) > self._own.max_metadata:
            return self._refuse(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "too much metadata", "metadata_size")
        try:
            pairs = metadata.decode(begin.metadata)
        except ValueError as e:
            return self._refuse(call, grpc.StatusCode.INTERNAL, str(e))
        handler = self._find(begin.method, pairs)
        for known, what in (
            (handler is not None, f"method {begin.method}"),
            (begin.codec in ("", "proto"), f"codec {begin.codec}"),
            (begin.compressor in gzip.NAMES, f"compressor {begin.compressor}"),
        ):
            if not known:
                return self._refuse(call, grpc.StatusCode.UNIMPLEMENTED, f"unknown {what}")
        self._calls[call.id] = call
        self._idle.clear()
        call.on_over.append(lambda: self._over(call))
        task = call.start(handle(call, handler, Context(call, handler, pairs)))
        self._tasks.add(task)  # so that it is not collected
        task.add_done_callback(self._tasks.discard)
        call.receive(frame)

    def _refuse(self, call: Call, code: grpc.StatusCode, why: str, limit: str = "") -> None:
        call.finish(failure(code, f"pushtunnel: {why}", refused=True, limit=limit))

    def _over(self, call: Call) -> None:
        del self._calls[call.id]
        if not self._calls:
            self._idle.set()

    # The stream.

    async def _send(self, batch: pb.Batch) -> None:
        data = batch.SerializeToString()
        self._outbox.sent(len(data))
        await self._stream.write(data)

    async def _receive(self) -> pb.Batch | None:
        """Returns the next batch. After the last it sets end and returns None."""
        try:
            data: Any = await self._stream.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            data = grpc.aio.EOF
        if data is grpc.aio.EOF:
            if self.end is None:
                self.end = await self._status()
            return None
        self._heard = time.monotonic()
        self._outbox.received(len(data))
        if len(data) > limits.MAX_BATCH:
            raise ProtocolError(f"a batch of {len(data)} bytes")
        try:
            return pb.Batch.FromString(data)
        except DecodeError as e:
            raise ProtocolError("bytes that are not protobuf") from e

    async def _status(self) -> Ended:
        code = await self._stream.code()
        trailer = await self._stream.trailing_metadata()
        details = dict(trailer or ()).get(metadata.STATUS_DETAILS)
        return ended(code.value[0], await self._stream.details() or "", details)

    async def _say_close(self, end: Ended, writer: asyncio.Task[None]) -> None:
        status = pb.Status(code=end.code.value[0], message=end.message.encode())
        self._outbox.close_with(pb.Frame(close=status))
        await asyncio.wait({writer}, timeout=limits.PARTING_TIMEOUT)


def _of(close: pb.Status) -> Ended:
    return ended(close.code, close.message.decode(errors="replace"), close.details)


def _has(frame: pb.Frame, part: str) -> bool:
    if frame.DESCRIPTOR.fields_by_name[part].has_presence:
        return frame.HasField(part)
    return bool(getattr(frame, part))
