"""What a handler sees of its call: the context that grpc.aio's handlers know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NoReturn

import grpc
import pushtunnel_pb2 as pb

from . import gzip, metadata
from .call import Call, end_cost, failure


class Context(grpc.aio.ServicerContext):
    """The context of one call. Reads and writes are those of the call's messages."""

    def __init__(self, call: Call, handler: grpc.RpcMethodHandler, pairs: metadata.Pairs) -> None:
        self._call = call
        self._handler = handler
        self._metadata = pairs
        self._trailer: metadata.Pairs = ()
        self._code: grpc.StatusCode | None = None
        self._details = ""

    async def read(self) -> Any:
        """Returns the next request, or grpc.aio.EOF."""
        read = await self._call.read()
        if read is None:
            return grpc.aio.EOF
        data, compressed = read
        if compressed:
            data = gzip.decompress(data, self._call.link.limits.max_message)
        decode = self._handler.request_deserializer
        return decode(data) if decode else data

    async def requests(self) -> AsyncIterator[Any]:
        """Yields the requests that are left."""
        while (request := await self.read()) is not grpc.aio.EOF:
            yield request

    async def write(self, message: Any) -> None:
        """Sends a response, and returns when it is on its way."""
        await self._call.write(self._encode(message))

    async def respond(self, message: Any) -> None:
        """Sends the only response, with the end."""
        await self._call.write(self._encode(message), self._end())

    def finish(self, code: grpc.StatusCode | None = None, message: str = "") -> None:
        """Ends the call with what the handler has set, or else with this status."""
        if self._code in (None, grpc.StatusCode.OK) and code is not None:
            self._code, self._details = code, message
        self._call.finish(self._end())

    async def send_initial_metadata(self, initial_metadata: Sequence[tuple[str, Any]]) -> None:
        header = metadata.encode(initial_metadata)
        limit = self._call.link.peer.max_metadata
        if metadata.cost(header) > limit:
            raise _too_large(limit)
        self._call.header(header)

    def set_trailing_metadata(self, trailing_metadata: Sequence[tuple[str, Any]]) -> None:
        metadata.encode(trailing_metadata)  # complains to the handler
        self._trailer = tuple(trailing_metadata)

    def trailing_metadata(self) -> metadata.Pairs:
        return self._trailer

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode | None:
        return self._code

    def set_details(self, details: str) -> None:
        self._details = details

    def details(self) -> str:
        return self._details

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Sequence[tuple[str, Any]] = ()
    ) -> NoReturn:
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        self._code = code if code is not grpc.StatusCode.OK else grpc.StatusCode.UNKNOWN
        self._details = details
        raise grpc.aio.AbortError("the handler has aborted the call")

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata or ())

    def invocation_metadata(self) -> metadata.Pairs:
        return self._metadata

    def time_remaining(self) -> float | None:
        deadline = self._call.deadline
        return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())

    def cancelled(self) -> bool:
        return self._call.over and self._code is None

    def done(self) -> bool:
        return self._call.over

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._call.on_over.append(lambda: callback(self))

    def peer(self) -> str:
        return self._call.link.target

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> dict[str, Any]:
        return {}

    def set_compression(self, compression: grpc.Compression) -> None:
        """Does nothing: responses are not compressed."""

    def disable_next_message_compression(self) -> None:
        """Does nothing: responses are not compressed."""

    def _encode(self, message: Any) -> bytes:
        encode = self._handler.response_serializer
        return encode(message) if encode else message

    def _end(self) -> pb.End:
        trailer = [p for p in self._trailer if p[0] != metadata.STATUS_DETAILS]
        if self._code in (None, grpc.StatusCode.OK):
            end = pb.End()
        else:
            details = dict(self._trailer).get(metadata.STATUS_DETAILS, b"")
            end = failure(self._code, self._details, details)
        if trailer:
            end.trailer.CopyFrom(metadata.encode(trailer))
        limit = self._call.link.peer.max_metadata
        if end_cost(end) > limit:
            error = _too_large(limit)
            end = failure(error.code, error.message)
        return end


class CallError(Exception):
    """The call fails with this status, whatever the handler says."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def _too_large(limit: int) -> CallError:
    return CallError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"pushtunnel: metadata above the server's {limit} bytes")
