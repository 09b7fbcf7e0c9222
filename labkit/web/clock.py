"""A clock that a pause turns forward: a client that waits half a minute waits no time at all."""

from __future__ import annotations

import threading
import time


class Clock:
    """Seconds that go by as they do, and at once with each ``time.sleep`` of the main thread."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._sleep = time.sleep

    def now(self) -> float:
        """Seconds since an unknown moment."""
        return time.monotonic() + self._ahead

    def start(self) -> None:
        """Take the place of ``time.sleep``."""
        time.sleep = self.sleep

    def stop(self) -> None:
        """Give ``time.sleep`` back."""
        time.sleep = self._sleep

    def sleep(self, seconds: float) -> None:
        """Turn the clock forward; in any other thread than the main one, wait."""
        # A kernel's own threads sleep in endless loops.
        if threading.current_thread() is not threading.main_thread() or seconds < 0:
            return self._sleep(seconds)
        self._ahead += seconds
