"""Approximate search against exact search: what each of Milvus' indexes finds, and what it costs.

Vectors, made up or a dataset's -> exact neighbours -> for each index: built, then searched with
each of its search parameters -> Point -> Ann and its table
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bogv.records import Vectors
from bogv.service import MAX_LIMIT
from bogv.store import OWN_INDEX, Index
from eval.ann import worker as ann_worker
from eval.ann.result import Ann, Cost, Point, VectorsPart
from eval.ann.sweep import Sweep
from eval.ann.worker import Answers, Place, Searched
from eval.errors import WorkbenchError
from eval.harness.processes import apart
from eval.metrics import ann_recall, ann_recall_ties
from eval.report.machine import machine, packages, revision
from eval.report.results import Mean, WeightsPart
from eval.statistics import percentile, summarise

CHUNK = 4096
"""Vectors that exact search holds at once in double precision."""


@dataclass(frozen=True)
class Source:
    """Where the vectors come from."""

    name: str
    gallery: Iterable[Vectors]
    """Batches of (m, dimension) float32, of unit length."""
    count: int
    """Of the gallery."""
    queries: Vectors
    """(queries, dimension) float32; none of them is in the gallery."""
    parameters: dict[str, int | float] = field(default_factory=dict)
    weights: WeightsPart | None = None


@dataclass(frozen=True)
class Options:
    """What is to be measured."""

    sweeps: Sequence[Sweep]
    """bogv's own index among them."""
    k: int = 10
    seed: int = 0
    warm_up: int = 20
    """Queries whose time is not counted, before each set of search parameters."""
    threads: int = 1
    build_threads: int = 1
    lite: bool = True
    database: str = "Milvus Lite"
    command: str = ""
    progress: bool = True


def measure(source: Source, options: Options) -> Ann:
    """Build and search all the indexes. Raises WorkbenchError, DatabaseUnavailable."""
    if not 1 <= options.k <= min(MAX_LIMIT, source.count):
        raise WorkbenchError(
            f"k = {options.k}; it must be from 1 to {min(MAX_LIMIT, source.count):,}."
        )
    start = time.perf_counter()
    with _working(options) as place:
        digest = _save(place, source)
        saved = time.perf_counter()
        exact = neighbours(_chunks(place.gallery), source.queries, options.k)
        known = time.perf_counter()
        filled = apart(ann_worker.fill, place)
        points = list(_points(place, exact, options))
    seconds = {
        "make_vectors": saved - start,
        "exact_search": known - saved,
        "fill": filled,
        "whole": time.perf_counter() - start,
    }
    return Ann(
        weights=source.weights,
        command=options.command,
        n=len(source.queries),
        seed=options.seed,
        metrics=next(point for point in points if point.own).metrics,
        revision=revision(),
        machine=machine(),
        packages=packages(),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        vectors=VectorsPart(
            source=source.name,
            gallery=source.count,
            dimension=source.queries.shape[1],
            parameters=source.parameters,
            digest=digest,
        ),
        database=options.database,
        k=options.k,
        threads=options.threads,
        build_threads=options.build_threads,
        points=points,
    )


@dataclass(frozen=True)
class Neighbours:
    """What exact search finds: the k nearest to each query, best first, ties by place."""

    places: NDArray[np.int64]
    """(queries, k): rows of the gallery."""
    scores: NDArray[np.float64]
    """(queries, k): cosines, in double precision."""
    queries: NDArray[np.float64]
    """(queries, dimension), of length 1."""


def neighbours(batches: Iterable[Vectors], queries: Vectors, k: int) -> Neighbours:
    """Exact search through a gallery that comes in batches; holds one batch and the best so far.

    batches: (m, dimension) float32 each; queries: (queries, dimension) float32. Double precision,
    as `eval.retrieval.search.exact`, and for its reasons.
    """
    asked = _unit(queries)
    scores = np.full((len(asked), 0), 0.0)
    places = np.empty((len(asked), 0), np.int64)
    first = 0
    for batch in batches:
        cosines = asked @ _unit(batch).T  # (queries, d) x (d, m) -> (queries, m)
        rows = np.broadcast_to(np.arange(first, first + len(batch)), cosines.shape)
        first += len(batch)
        scores, places = np.hstack([scores, cosines]), np.hstack([places, rows])
        # Stable: of equal scores the earlier row comes first.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, best, axis=1)
        places = np.take_along_axis(places, best, axis=1)
    return Neighbours(places, scores, asked)


@contextmanager
def _working(options: Options) -> Iterator[Place]:
    """A folder for the vectors and, with Milvus Lite, the gallery; both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bogv-ann-") as folder:
        place = Place(Path(folder), f"bogv_ann_{os.getpid()}", options.lite)
        try:
            yield place
        finally:
            if not options.lite:
                ann_worker.drop(place)


def _save(place: Place, source: Source) -> str:
    """Write the vectors where the processes find them; a digest of them."""
    digest = hashlib.sha256()
    shape = (source.count, source.queries.shape[1])
    gallery = np.lib.format.open_memmap(place.gallery, "w+", np.float32, shape)
    first = 0
    for batch in source.gallery:
        gallery[first : first + len(batch)] = batch
        first += len(batch)
        digest.update(np.ascontiguousarray(batch).tobytes())
    gallery.flush()
    np.save(place.queries, source.queries)
    digest.update(np.ascontiguousarray(source.queries).tobytes())
    return digest.hexdigest()[:12]


def _chunks(path: Path) -> Iterator[Vectors]:
    rows: Vectors = np.load(path, mmap_mode="r")
    for first in range(0, len(rows), CHUNK):
        yield rows[first : first + CHUNK]


def _points(place: Place, exact: Neighbours, options: Options) -> Iterator[Point]:
    gallery: Vectors = np.load(place.gallery, mmap_mode="r")
    threads = {"OMP_NUM_THREADS": str(options.build_threads)} if options.build_threads else {}
    bar = tqdm(total=2 * len(options.sweeps), unit="step", disable=not options.progress)
    with bar:
        for sweep in options.sweeps:
            index = Index(sweep.index, sweep.build)
            bar.set_description(f"Building {sweep.label}")
            seconds = apart(ann_worker.build, place, index, **threads)
            bar.update()
            bar.set_description(f"Searching {sweep.label}")
            searched = apart(
                ann_worker.search,
                place,
                index,
                sweep.searches,
                options.k,
                options.warm_up,
                options.threads,
            )
            bar.update()
            for search, answers in zip(sweep.searches, searched.answers, strict=True):
                yield Point(
                    index=sweep.index,
                    build=dict(sweep.build),
                    search=dict(search),
                    own=_is_own(sweep, search, options.k),
                    metrics=_metrics(answers, exact, gallery, options),
                    cost=_cost(answers, searched, seconds),
                )


def _is_own(sweep: Sweep, search: Mapping[str, int], k: int) -> bool:
    own = {name: max(value, k) for name, value in OWN_INDEX.search.items()}  # as the store does
    return (sweep.index, sweep.build, search) == (OWN_INDEX.type, OWN_INDEX.build, own)


def _metrics(
    answers: Answers, exact: Neighbours, gallery: Vectors, options: Options
) -> dict[str, Mean]:
    by_id, by_score = [], []
    for row, found in enumerate(answers.found):
        by_id.append(ann_recall(found, exact.places[row].tolist()))
        scores = _unit(gallery[found]) @ exact.queries[row]
        by_score.append(ann_recall_ties(scores, exact.scores[row]))
    columns = {f"ann_recall@{options.k}": by_id, f"ann_recall_ties@{options.k}": by_score}
    summary = summarise(columns, None, options.seed)
    return {name: Mean.model_validate(dict(found)) for name, found in summary.items()}


def _cost(answers: Answers, searched: Searched, build_seconds: float) -> Cost:
    milliseconds = 1000 * np.sort(answers.seconds)
    memory = searched.memory_mib
    return Cost(
        queries_per_second=round(len(answers.found) / answers.wall, 3),
        p50_ms=round(percentile(milliseconds, 50), 3),
        p99_ms=round(percentile(milliseconds, 99), 3),
        build_seconds=round(build_seconds, 3),
        memory_mib=None if memory is None else round(memory, 1),
    )


def _unit(vectors: Vectors) -> NDArray[np.float64]:
    """(n, d) float32 -> (n, d) float64, each of length 1 anew; a row of zeros stays one."""
    rows = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
