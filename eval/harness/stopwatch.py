"""Timing of the parts of a measurement."""

from __future__ import annotations

import time


class Stopwatch:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float | None] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, name: str, count: int | None = None) -> None:
        """Record the part that ends now. count: of new images, for the seconds per new image."""
        now = time.perf_counter()
        elapsed, self._last = now - self._last, now
        self.seconds[name] = round(elapsed, 4)
        if count is not None:
            self.seconds[f"{name}_per_new_image"] = round(elapsed / count, 4) if count else None

    def stop(self) -> None:
        """Record the total, since the stopwatch was created."""
        self.seconds["whole"] = round(time.perf_counter() - self._start, 4)
