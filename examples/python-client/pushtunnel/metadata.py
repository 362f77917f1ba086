"""Metadata between the wire and Python. Section 3, "Metadata"."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pushtunnel_pb2 as pb

from .limits import PAIR_COST

Pairs = tuple[tuple[str, "str | bytes"], ...]

_KEY = re.compile(r"[0-9a-z_.-]+")
_RESERVED = frozenset({"content-type", "user-agent", "te"})
STATUS_DETAILS = "grpc-status-details-bin"


def cost(metadata: pb.Metadata) -> int:
    """Returns what metadata cost of a max_metadata."""
    return sum(len(p.key) + len(p.value) + PAIR_COST for p in metadata.pairs)


def decode(metadata: pb.Metadata) -> Pairs:
    """Returns metadata as handlers see them. It raises ValueError if they are no metadata."""
    return tuple((p.key, _check(p.key, p.value)) for p in metadata.pairs)


def encode(pairs: Iterable[tuple[str, str | bytes]]) -> pb.Metadata:
    """Returns metadata for the wire. It raises ValueError if they are no metadata."""
    out = pb.Metadata()
    for key, value in pairs:
        if key in _RESERVED or key.startswith("grpc-"):
            continue
        raw = value if isinstance(value, bytes) else value.encode()
        _check(key, raw)
        out.pairs.add(key=key, value=raw)
    return out


def _check(key: str, value: bytes) -> str | bytes:
    if not _KEY.fullmatch(key):
        raise ValueError(f"bad metadata key {key!r}")
    if key.endswith("-bin"):
        return value
    if any(b < 0x20 and b != 0x09 or b == 0x7F for b in value):
        raise ValueError(f"a control character in the metadata value of {key!r}")
    return value.decode("utf-8", "surrogateescape")


def claim(key: str, text: str) -> tuple[str, str | bytes]:
    """Returns the pair that says a name, a namespace or a label. Section 1."""
    if all(0x20 <= ord(c) <= 0x7E for c in text) and text == text.strip(" "):
        return key, text
    return key + "-bin", text.encode()
