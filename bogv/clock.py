"""The time at which images are added."""

from __future__ import annotations

import threading
import time


class Clock:
    """Strictly increasing milliseconds since 1970, so that rows of one batch keep their order."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        """The time, or a millisecond after the last one that it has told."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1_000_000)
            return self._last
