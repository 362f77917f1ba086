"""What this end takes, and the numbers of the protocol (section 10)."""

from dataclasses import dataclass

MAX_BATCH = 1 << 20  # bytes; more is a protocol error
GOOD_BATCH = 16_379  # bytes; fills one HTTP/2 DATA frame
MAX_PIECE = 64 << 10  # bytes
GOOD_PIECE = 16_000  # bytes; with its frame it fits in a good batch
MIN_PIECE = 256  # bytes; rather wait for window than cut smaller pieces
MESSAGE_COST = 64  # bytes of window, besides the message's own
PAIR_COST = 32  # bytes of metadata, besides key and value
MIN_WINDOW = 1 << 10  # bytes
MAX_WINDOW = (1 << 31) - 1  # bytes
MAX_UNCONFIRMED = 1 << 20  # bytes under way to the server
CONFIRM_ALONG = 4 << 10  # bytes; confirmed with what is sent anyway
CONFIRM_ALONE = 64 << 10  # bytes; confirmed by a frame of its own
HELLO_TIMEOUT = 10.0  # seconds
PARTING_TIMEOUT = 1.0  # seconds


@dataclass(frozen=True)
class Limits:
    """What a client tells the server that it takes, and holds it to."""

    max_calls: int = 1024
    """How many calls it serves at a time."""
    call_window: int = 64 << 10
    """How many bytes of messages may wait for their reader, for each call."""
    max_metadata: int = 64 << 10
    """Bytes of metadata of a call."""
    max_message: int = 4 << 20
    """Bytes of a message that it receives, after decompression too."""
