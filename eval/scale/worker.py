"""The parts of `scale` that use Milvus, through bogv's store, each in a separate process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle

import numpy as np

from bogv.records import Vectors
from bogv.storage.maintenance import wait_for_index
from bogv.storage.milvus import DEFAULT_INDEX, ROWS_PER_CALL, MilvusStore
from eval.harness.cpu import BackgroundLoad
from eval.harness.galleries import GalleryLocation, put_vectors, rows_of
from eval.harness.processes import resident_mib


@dataclass(frozen=True)
class TimedQueries:
    """Queries, what they found, and how long it took."""

    queries: list[int]
    """Which ones, in their order; some of them again where there was time."""
    found: list[list[int]]
    """Rows of the gallery that each found, best first."""
    seconds: list[float]
    others: float | None = None
    """Share of CPU time that other processes used meanwhile."""


@dataclass(frozen=True)
class FilledGallery:
    """A gallery that was made."""

    put_seconds: float
    put_others: float | None
    build_seconds: float
    """From the last put until the index covered all rows, while searches went on."""
    meanwhile: TimedQueries
    """What was searches in that time: at least one query."""


@dataclass(frozen=True)
class ReopenedGallery:
    """A gallery that was there, in a fresh process."""

    restart_seconds: float
    """From opening to the first answer; imports left out."""
    restart_others: float | None
    memory_mib: float | None
    """What the process grew by meanwhile. None on a server, and where there is no /proc."""
    searches: TimedQueries


def fill(location: GalleryLocation, k: int) -> FilledGallery:
    """Put all vectors in batches, as a bulk load does, and search until all are indexed."""
    queries = np.load(location.queries)
    with location.opened(DEFAULT_INDEX) as store:
        load, start = BackgroundLoad(), time.perf_counter()
        put_vectors(store, location.batches(ROWS_PER_CALL))
        others, put = load.share(), time.perf_counter()
        with ThreadPoolExecutor(1) as thread:
            building = thread.submit(_wait, store)
            meanwhile = _ask(store, queries, _until_done(building, len(queries)), k)
            return FilledGallery(put - start, others, building.result() - put, meanwhile)


def reopen(location: GalleryLocation, k: int, warm_up: int) -> ReopenedGallery:
    """Open the gallery, search once, warm up, then run all queries."""
    queries = np.load(location.queries)
    before = resident_mib()
    load, start = BackgroundLoad(), time.perf_counter()
    with location.opened(DEFAULT_INDEX) as store:
        store.search(queries[0], k)
        restart, others = time.perf_counter() - start, load.share()
        _ask(store, queries, iter(range(min(warm_up, len(queries)))), k)
        memory = None
        if before is not None and location.lite:
            memory = (resident_mib() or before) - before
        searches = _ask(store, queries, iter(range(len(queries))), k)
        return ReopenedGallery(restart, others, memory, searches)


def _wait(store: MilvusStore) -> float:
    """When the index covered all rows."""
    wait_for_index(store)
    return time.perf_counter()


def _until_done(building: Future[float], count: int) -> Iterator[int]:
    """Numbers of queries, in turns; at least one."""
    for number in cycle(range(count)):
        yield number
        if building.done():
            return


def _ask(store: MilvusStore, queries: Vectors, numbers: Iterator[int], k: int) -> TimedQueries:
    searches, load = TimedQueries([], [], []), BackgroundLoad()
    for number in numbers:
        start = time.perf_counter()
        hits = store.search(queries[number], k)
        searches.seconds.append(time.perf_counter() - start)
        searches.queries.append(number)
        searches.found.append(rows_of(hits))
    return replace(searches, others=load.share())
