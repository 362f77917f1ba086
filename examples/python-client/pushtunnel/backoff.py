"""How long to wait before the next attempt. Section 7, "Come back"."""

import random


def delay(failures: int, retry_after: float | None) -> float:
    """Returns the seconds to wait after so many failures in a row."""
    if retry_after is not None:
        return retry_after * random.uniform(1, 2)
    return random.uniform(0, min(30.0, 1.6 ** min(failures, 20)))
