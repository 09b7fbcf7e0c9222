"""For tests: wait for what comes in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(ask: Callable[[], object], seconds: float = 60) -> object:
    """Ask until the answer is true, and return the last one; the deadline is for a hang only."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return answer
