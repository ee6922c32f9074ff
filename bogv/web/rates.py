"""So many in a period: a rate for each client, of those that came last.

The library `limits` counts as well, but its memory has no bound, and each request starts a thread
that walks over all clients.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

CLIENTS = 10_000  # kept in mind; beyond, the one that was away the longest is forgotten
PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}

Clock = Callable[[], float]
K = TypeVar("K")
T = TypeVar("T")


class RateLimit:
    """So many requests in a period: as many at once, then one whenever its share has passed.

    Source: the generic cell rate algorithm, ITU-T I.371, as a virtual schedule.
    """

    def __init__(self, rate: str, clock: Clock = time.monotonic) -> None:
        """rate: such as `60/minute`."""
        count, _, period = rate.partition("/")
        self._period = PERIODS[period]
        self._step = self._period / int(count)
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request and give 0; or, without counting it, the seconds that it came early."""
        now = self._clock()
        due = max(self._due.get(client, now), now) + self._step
        early = due - now - self._period
        if early > 1e-6:  # what floats lose is no reason to refuse
            return early
        keep(self._due, client, due)
        return 0.0

    def give_back(self, client: str) -> None:
        """A request that was counted doesn't count after all."""
        if client in self._due:
            self._due[client] -= self._step


def keep(entries: OrderedDict[K, T], key: K, entry: T, most: int | None = None) -> None:
    """As the newest; beyond `most`, by default CLIENTS, the oldest goes."""
    entries[key] = entry
    entries.move_to_end(key)
    if len(entries) > (most or CLIENTS):
        entries.popitem(last=False)
