"""Verifies a query against hits of the gallery, in parallel, and keeps the features of hits."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from bogv.copies.features import Features, describe
from bogv.copies.geometry import NO_AGREEMENT, Agreement, verify
from bogv.imaging.sandbox import core_count
from bogv.records import Pixels

MAX_HITS = 12
CACHED = 256
"""Pictures whose features are kept: at most 40 MB."""


class Verifier:
    """Verifies queries against hits, at most `threads` at a time for all queries. Thread-safe.

    threads: by default one for each core. cached: how many hits' features are kept, the most
    recently used.
    """

    def __init__(self, threads: int | None = None, cached: int = CACHED) -> None:
        self._pool = ThreadPoolExecutor(threads or core_count(), "verifier")
        self._cached = cached
        self._features: OrderedDict[int, Features] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Wait for the running verifications, and end the threads."""
        self._pool.shutdown(cancel_futures=True)

    def verify(
        self, query: Pixels, ids: Sequence[int], load: Callable[[int], Pixels | None]
    ) -> list[Agreement]:
        """How the query agrees with the first MAX_HITS of these pictures, in their order.

        query: (h, w, 3) or (h, w) uint8. ids: of the gallery. load: gives a picture's pixels, or
        None if there are none. It is called in the pool's threads for pictures whose features
        aren't kept; its errors are raised here.
        """
        features = self._pool.submit(describe, query).result()

        def verify_hit(record_id: int) -> Agreement:
            hit = self._features_of(record_id, load)
            return NO_AGREEMENT if hit is None else verify(features, hit)

        return list(self._pool.map(verify_hit, ids[:MAX_HITS]))

    def _features_of(self, record_id: int, load: Callable[[int], Pixels | None]) -> Features | None:
        """An id is a hash of the picture's bytes, so its features never change."""
        with self._lock:
            if record_id in self._features:
                self._features.move_to_end(record_id)
                return self._features[record_id]
        pixels = load(record_id)
        if pixels is None:
            return None
        features = describe(pixels)
        with self._lock:
            self._features[record_id] = features
            while len(self._features) > self._cached:
                self._features.popitem(last=False)
        return features
