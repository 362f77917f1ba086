"""The one compressor that requests may have."""

import zlib

from .incoming import TooLarge

NAMES = ("", "identity", "gzip")


def decompress(data: bytes, limit: int) -> bytes:
    """Returns what is in data. It never makes more than the limit of it."""
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    plain = stream.decompress(data, limit + 1)
    if len(plain) > limit:
        raise TooLarge(f"a message of more than {limit} bytes when decompressed")
    if not stream.eof:
        raise ValueError("a compressed message that is cut off")
    return plain
