"""How long to wait before the next attempt. Section 7, "Come back"."""

from __future__ import annotations

import random

FIRST = 1.0  # seconds
FACTOR = 1.6
MOST = 30.0  # seconds
LONGEST = 3600.0  # seconds; no server makes the client wait longer
LASTED = 5.0  # seconds; a session that has lasted so long was no failure


class Backoff:
    """Counts failures in a row."""

    def __init__(self) -> None:
        self._failures = 0

    def lasted(self, seconds: float) -> None:
        """Starts the count anew if a session has lasted."""
        if seconds >= LASTED:
            self._failures = 0

    def next(self, asked: float | None) -> float:
        """Returns the seconds to wait. asked is what the server wants, if it said."""
        ceiling = min(MOST, FIRST * FACTOR ** min(self._failures, 20))
        self._failures += 1
        if asked:
            return min(asked, LONGEST) * random.uniform(1, 2)
        return random.uniform(0, ceiling)
