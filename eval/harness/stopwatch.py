"""How long the parts of a measurement take."""

from __future__ import annotations

import time


class Stopwatch:
    """What each part took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float | None] = {}
        self._start = self._last = time.perf_counter()

    def lap(self, name: str, count: int | None = None) -> None:
        """The part that ends now. count: of new images, for seconds per one of them."""
        now = time.perf_counter()
        taken, self._last = now - self._last, now
        self.seconds[name] = round(taken, 4)
        if count is not None:
            self.seconds[f"{name}_per_new_image"] = round(taken / count, 4) if count else None

    def stop(self) -> None:
        """The whole, from the making of the stopwatch to now."""
        self.seconds["whole"] = round(time.perf_counter() - self._start, 4)
