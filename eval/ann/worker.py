"""What `ann` does with Milvus, by bogv's own store, each time in a process of its own.

Of its own, because memory is measured by what the process grows: what an earlier index has left
behind must not count, and Milvus Lite lives in the process that uses it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.config import Settings
from bogv.records import Record, Vectors
from bogv.store import Index, MilvusStore
from eval.harness.processes import resident_mib

ROWS = 5_000
"""Rows handed to Milvus at once; each is a Record of its own."""
PATIENCE = 1800.0
"""Seconds for a call. Milvus Lite merges what was put before, which a busy machine does slowly, and
a measurement rather waits than ends."""
FIRST = Index("FLAT")
"""What a gallery is filled with: it takes no time to build."""


@dataclass(frozen=True)
class Place:
    """Where the vectors lie, and the gallery that is made of them."""

    folder: Path
    collection: str
    lite: bool
    """False: on the server that the settings name."""

    @property
    def gallery(self) -> Path:
        """(n, dimension) float32, a .npy file."""
        return self.folder / "gallery.npy"

    @property
    def queries(self) -> Path:
        """(queries, dimension) float32, a .npy file."""
        return self.folder / "queries.npy"

    @contextmanager
    def opened(self, index: Index) -> Iterator[MilvusStore]:
        """The gallery, made if it isn't there."""
        with closing(self.store(index)) as store:
            store.open("vectors", np.load(self.queries, mmap_mode="r").shape[1])
            yield store

    def store(self, index: Index) -> MilvusStore:
        """The connection, with nothing made or loaded."""
        if self.lite:
            return MilvusStore.lite(self.folder, self.collection, index, PATIENCE)
        settings = Settings()
        return MilvusStore.server(
            settings.milvus_host or "",
            settings.milvus_port,
            self.collection,
            index,
            user=settings.milvus_user,
            password=settings.milvus_password.get_secret_value(),
            token=settings.milvus_token.get_secret_value(),
        )


@dataclass(frozen=True)
class Answers:
    """What the queries found with one set of search parameters, and how long it took."""

    found: list[list[int]]
    """For each query the places in the gallery of what was found, best first."""
    seconds: NDArray[np.float64]
    """(queries,), of each query alone."""
    wall: float
    """Seconds for all of them, by as many threads as were asked for."""


@dataclass(frozen=True)
class Searched:
    """What a process found that opened a finished gallery and searched it."""

    memory_mib: float | None
    """What the process grew by as it opened the gallery and answered the warm-up queries. None on
    a server, whose memory is not this process', and where there is no /proc."""
    answers: list[Answers]


def fill(place: Place) -> float:
    """Put all vectors into a new gallery; how many seconds it took."""
    vectors = np.load(place.gallery, mmap_mode="r")
    start = time.perf_counter()
    with place.opened(FIRST) as store:
        for first in range(0, len(vectors), ROWS):
            part = np.array(vectors[first : first + ROWS])
            store.put([_record(first + row) for row in range(len(part))], part)
    return time.perf_counter() - start


def build(place: Place, index: Index) -> float:
    """Replace the index; seconds until it was whole."""
    with place.opened(index) as store:
        start = time.perf_counter()
        store.rebuild_index()
        return time.perf_counter() - start


def search(
    place: Place,
    index: Index,
    searches: Sequence[Mapping[str, int]],
    k: int,
    warm_up: int,
    threads: int,
) -> Searched:
    """Open the gallery, whose index is `index`, and ask all queries with each set of parameters."""
    queries = np.load(place.queries)
    before = resident_mib()
    answers = []
    memory: float | None = None
    for params in searches:
        with place.opened(Index(index.type, index.build, params)) as store:
            for query in queries[:warm_up]:
                store.search(query, k)
            if memory is None and before is not None and place.lite:
                memory = (resident_mib() or before) - before
            answers.append(_ask(store, queries, k, threads))
    return Searched(memory, answers)


def drop(place: Place) -> None:
    """Remove the gallery from the server."""
    with closing(place.store(FIRST)) as store:
        store.drop()


def _ask(store: MilvusStore, queries: Vectors, k: int, threads: int) -> Answers:
    def ask(query: Any) -> tuple[list[int], float]:
        start = time.perf_counter()
        hits = store.search(query, k)
        return [hit.record.id - 1 for hit in hits], time.perf_counter() - start

    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        # One at a time is asked from here: a thread more would be in the way.
        done = list(pool.map(ask, queries) if threads > 1 else map(ask, queries))
        wall = time.perf_counter() - start
    return Answers([found for found, _ in done], np.array([each for _, each in done]), wall)


def _record(row: int) -> Record:
    """0 is no id of bogv's."""
    return Record(row + 1, str(row), "", "", 1, 1, 1, added_at=row + 1)
