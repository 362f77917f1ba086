"""How sessions end."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

CODES = {code.value[0]: code for code in grpc.StatusCode}

# With these the server wants nothing of the client. Section 8.
STOPS = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
})


class ProtocolError(Exception):
    """The server has done what a correct server never does."""


@dataclass
class Ended(Exception):
    """The end of a session, or of an attempt to open one."""

    code: grpc.StatusCode
    message: str
    retry_after: float | None = None
    """Seconds that the server wants the client to wait."""

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


class Stopped(Exception):
    """The server has refused the client for good. The cause is an Ended."""


def ended(code: int, message: str, details: bytes | None) -> Ended:
    """Returns the end that a status stands for."""
    return Ended(CODES.get(code, grpc.StatusCode.UNKNOWN), message, retry_after(details))


def retry_after(details: bytes | None) -> float | None:
    """Returns the delay of the RetryInfo in an encoded google.rpc.Status, if there is one."""
    try:
        status = status_pb2.Status.FromString(details or b"")
        for detail in status.details:
            info = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                return max(0.0, info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    except DecodeError:
        pass
    return None


def limit_details(code: grpc.StatusCode, message: str, limit: str) -> bytes:
    """Returns the encoded google.rpc.Status that names a limit of this end."""
    status = status_pb2.Status(code=code.value[0], message=message)
    info = error_details_pb2.ErrorInfo(domain="pushtunnel", reason="LIMIT", metadata={"limit": limit})
    status.details.add().Pack(info)
    return status.SerializeToString()
