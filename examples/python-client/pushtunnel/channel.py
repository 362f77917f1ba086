"""Channels that suit sessions."""

from collections.abc import Sequence
from typing import Any

import grpc

# Each session has a connection of its own: by default gRPC would share it, and wait by
# its own rules, longer than ours, before it connects again.
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 4 << 20),
]


def insecure_channel(target: str, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
    """Returns a channel without TLS."""
    return grpc.aio.insecure_channel(target, options=[*OPTIONS, *options])


def secure_channel(
    target: str,
    credentials: grpc.ChannelCredentials,
    options: Sequence[tuple[str, Any]] = (),
) -> grpc.aio.Channel:
    """Returns a channel with TLS."""
    return grpc.aio.secure_channel(target, credentials, options=[*OPTIONS, *options])
