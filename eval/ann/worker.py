"""The parts of `ann` that use Milvus, through bogv's store, each in a separate process.

Of its own, because memory is measured by what the process grows: what an earlier index has left
behind must not count, and Milvus Lite lives in the process that uses it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.records import Vectors
from bogv.storage.maintenance import rebuild_index
from bogv.storage.milvus import Index, MilvusStore
from eval.harness.cpu import BackgroundLoad
from eval.harness.galleries import ROWS, GalleryLocation, put_vectors, rows_of
from eval.harness.processes import resident_mib


@dataclass(frozen=True)
class SearchRun:
    """The hits of the queries with one set of search parameters, and their times."""

    found: list[list[int]]
    """For each query the rows of the gallery that were found, best first."""
    seconds: NDArray[np.float64]
    """(queries,), of each query."""
    wall: float
    """Seconds for all queries, with the given number of threads."""
    others: float | None
    """Share of CPU time that other processes used meanwhile."""


@dataclass(frozen=True)
class SearchedIndex:
    """The results of a process that opened a finished gallery and searched it."""

    memory_mib: float | None
    """What the process grew by as it opened the gallery and answered the warm-up queries. None on
    a server, whose memory is not this process', and where there is no /proc."""
    runs: list[SearchRun]


def fill(location: GalleryLocation) -> float:
    """Put all vectors into a new gallery, and return the seconds it took."""
    start = time.perf_counter()
    with location.opened(Index("FLAT")) as store:  # which takes no time to build
        put_vectors(store, location.batches(ROWS))
    return time.perf_counter() - start


@dataclass(frozen=True)
class Build:
    """A build of an index."""

    seconds: float
    """Until it was complete."""
    others: float | None
    """Share of CPU time that other processes used meanwhile."""


def build(location: GalleryLocation, index: Index) -> Build:
    """Replace the index."""
    with location.opened(index) as store:
        load, start = BackgroundLoad(), time.perf_counter()
        rebuild_index(store)
        return Build(time.perf_counter() - start, load.share())


def search(
    location: GalleryLocation,
    index: Index,
    searches: Sequence[Mapping[str, int]],
    k: int,
    warm_up: int,
    threads: int,
) -> SearchedIndex:
    """Open the gallery with `index`, and run all queries with each set of search parameters."""
    queries = np.load(location.queries)
    before = resident_mib()
    runs = []
    memory: float | None = None
    for params in searches:
        with location.opened(Index(index.type, index.build, params)) as store:
            for query in queries[:warm_up]:
                store.search(query, k)
            if memory is None and before is not None and location.lite:
                memory = (resident_mib() or before) - before
            runs.append(_ask(store, queries, k, threads))
    return SearchedIndex(memory, runs)


def _ask(store: MilvusStore, queries: Vectors, k: int, threads: int) -> SearchRun:
    def ask(query: Any) -> tuple[list[int], float]:
        start = time.perf_counter()
        hits = store.search(query, k)
        return rows_of(hits), time.perf_counter() - start

    with ThreadPoolExecutor(threads) as pool:
        load, start = BackgroundLoad(), time.perf_counter()
        # A single thread's searches run here, without the pool's overhead.
        done = list(pool.map(ask, queries) if threads > 1 else map(ask, queries))
        wall = time.perf_counter() - start
    seconds = np.array([each for _, each in done])
    return SearchRun([found for found, _ in done], seconds, wall, load.share())
