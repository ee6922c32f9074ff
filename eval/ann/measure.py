"""Approximate against exact search: the recall of each of Milvus' indexes, and its cost.

Vectors, synthetic or a dataset's -> exact neighbours -> for each index: built, then searched with
each of its search parameters -> AnnPoint -> Ann and its table
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from bogv.records import Vectors
from bogv.service import MAX_LIMIT
from bogv.storage.milvus import DEFAULT_INDEX, Index
from eval.ann import worker
from eval.ann.result import Ann, AnnPoint, IndexCost, VectorsPart
from eval.ann.sweep import Sweep
from eval.ann.worker import Build, SearchedIndex, SearchRun
from eval.errors import WorkbenchError
from eval.harness.galleries import GalleryLocation, temporary_gallery
from eval.harness.processes import run_in_process
from eval.harness.stopwatch import Stopwatch
from eval.metrics import ann_recall, ann_recall_ties
from eval.report.machine import describe_environment
from eval.report.results import Mean, WeightsPart, means_of
from eval.statistics.percentiles import percentile
from eval.vectors import Neighbours, nearest_neighbours, normalise

CHUNK = 4096
"""Vectors in memory at once in double precision, for exact search."""


@dataclass(frozen=True)
class VectorSource:
    """The source of the vectors."""

    name: str
    gallery: Iterable[Vectors]
    """Batches of (m, dimension) float32, of unit length."""
    count: int
    """Of the gallery."""
    queries: Vectors
    """(queries, dimension) float32, not in the gallery."""
    parameters: dict[str, int | float] = field(default_factory=dict)
    weights: WeightsPart | None = None


@dataclass(frozen=True)
class AnnOptions:
    """The options of a measurement."""

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


def measure(source: VectorSource, options: AnnOptions) -> Ann:
    """Build and search all the indexes. Raises WorkbenchError, DatabaseUnavailable."""
    if not 1 <= options.k <= min(MAX_LIMIT, source.count):
        raise WorkbenchError(
            f"k = {options.k}; it must be from 1 to {min(MAX_LIMIT, source.count):,}."
        )
    watch = Stopwatch()
    with temporary_gallery("ann", lite=options.lite) as location:
        digest = _write(location, source)
        watch.lap("make_vectors")
        exact = nearest_neighbours(location.batches(CHUNK), source.queries, options.k)
        watch.lap("exact_search")
        watch.seconds["fill"] = round(run_in_process(worker.fill, location), 4)
        points = list(_points(location, exact, options))
    watch.stop()
    return Ann(
        weights=source.weights,
        command=options.command,
        n=len(source.queries),
        seed=options.seed,
        metrics=next(point for point in points if point.own).metrics,
        **describe_environment(),
        seconds=watch.seconds,
        vectors=_describe_vectors(source, digest),
        database=options.database,
        k=options.k,
        threads=options.threads,
        build_threads=options.build_threads,
        points=points,
    )


def _describe_vectors(source: VectorSource, digest: str) -> VectorsPart:
    return VectorsPart(
        source=source.name,
        gallery=source.count,
        dimension=source.queries.shape[1],
        parameters=source.parameters,
        digest=digest,
    )


def _write(location: GalleryLocation, source: VectorSource) -> str:
    """Write the vectors to files for the other processes, and return their digest."""
    digest = hashlib.sha256()

    def digested() -> Iterator[Vectors]:
        for batch in source.gallery:
            digest.update(np.ascontiguousarray(batch).tobytes())
            yield batch

    location.write_vectors(source.count, digested(), source.queries)
    digest.update(np.ascontiguousarray(source.queries).tobytes())
    return digest.hexdigest()[:12]


def _points(
    location: GalleryLocation, exact: Neighbours, options: AnnOptions
) -> Iterator[AnnPoint]:
    gallery: Vectors = np.load(location.gallery, mmap_mode="r")
    threads = {"OMP_NUM_THREADS": str(options.build_threads)} if options.build_threads else {}
    bar = tqdm(total=2 * len(options.sweeps), unit="step", disable=not options.progress)
    with bar:
        for sweep in options.sweeps:
            index = Index(sweep.index, sweep.build)
            bar.set_description(f"Building {sweep.label}")
            built = run_in_process(worker.build, location, index, **threads)
            bar.update()
            bar.set_description(f"Searching {sweep.label}")
            asked = sweep.searches, options.k, options.warm_up, options.threads
            searched = run_in_process(worker.search, location, index, *asked)
            bar.update()
            for search, run in zip(sweep.searches, searched.runs, strict=True):
                yield AnnPoint(
                    index=sweep.index,
                    build=dict(sweep.build),
                    search=dict(search),
                    own=_is_own(sweep, search, options.k),
                    metrics=_metrics(run, exact, gallery, options),
                    cost=_cost(run, searched, built),
                )


def _is_own(sweep: Sweep, search: Mapping[str, int], k: int) -> bool:
    own = {name: max(value, k) for name, value in DEFAULT_INDEX.search.items()}  # as the store does
    return (sweep.index, sweep.build, search) == (DEFAULT_INDEX.type, DEFAULT_INDEX.build, own)


def _metrics(
    run: SearchRun, exact: Neighbours, gallery: Vectors, options: AnnOptions
) -> dict[str, Mean]:
    by_id, by_score = [], []
    for row, found in enumerate(run.found):
        by_id.append(ann_recall(found, exact.rows[row].tolist()))
        scores = normalise(gallery[found]) @ exact.queries[row]
        by_score.append(ann_recall_ties(scores, exact.scores[row]))
    columns = {f"ann_recall@{options.k}": by_id, f"ann_recall_ties@{options.k}": by_score}
    return means_of(columns, options.seed)


def _cost(run: SearchRun, searched: SearchedIndex, built: Build) -> IndexCost:
    milliseconds = 1000 * np.sort(run.seconds)
    memory = searched.memory_mib
    return IndexCost(
        queries_per_second=round(len(run.found) / run.wall, 3),
        p50_ms=round(percentile(milliseconds, 50), 3),
        p99_ms=round(percentile(milliseconds, 99), 3),
        build_seconds=round(built.seconds, 3),
        memory_mib=None if memory is None else round(memory, 1),
        others=run.others,
        build_others=built.others,
    )
