"""How bogv's gallery scales: adding, building, searching, memory, disk, restart, by rows.

For each number of rows: synthetic vectors -> exact neighbours -> put, and searched while the index
is built -> opened in a fresh process and searched -> ScalePoint -> Scale and its table
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bogv.embedding.weights import DIMENSION
from eval.errors import WorkbenchError
from eval.harness.cpu import BackgroundLoad
from eval.harness.galleries import GalleryLocation, temporary_gallery
from eval.harness.processes import run_in_process
from eval.harness.synthetic import Clustered
from eval.metrics import ann_recall
from eval.report.machine import describe_environment
from eval.report.results import Mean, means_of, percentile_mean
from eval.scale import worker
from eval.scale.result import Scale, ScalePoint, SearchFigures
from eval.scale.worker import FilledGallery, ReopenedGallery, TimedQueries
from eval.statistics.percentiles import percentile
from eval.vectors import Neighbours, nearest_neighbours

BLOCK = 4096
"""Vectors per batch, of writing and of exact search."""


@dataclass(frozen=True)
class ScaleOptions:
    """The options of a measurement."""

    rows: Sequence[int]
    queries: int = 200
    k: int = 10
    dimension: int = DIMENSION
    seed: int = 0
    warm_up: int = 20
    lite: bool = True
    command: str = ""
    progress: bool = True


def measure(options: ScaleOptions) -> Scale:
    """Every number of rows, the smallest first. Raises WorkbenchError, DatabaseUnavailable."""
    rows = sorted(set(options.rows))
    if not rows or rows[0] < options.k:
        raise WorkbenchError(f"Each number of rows must be at least k = {options.k}.")
    begun, others = time.perf_counter(), BackgroundLoad()
    points: list[ScalePoint] = []
    metrics: dict[str, Mean] = {}
    with tqdm(total=3 * len(rows), unit="step", disable=not options.progress) as bar:
        for count in rows:
            point, means = _measure_rows(count, options, bar)
            points.append(point)
            metrics |= {f"{name}@{count}": mean for name, mean in means.items()}
    return Scale(
        weights=None,
        command=options.command,
        n=options.queries,
        seed=options.seed,
        metrics=metrics,
        **describe_environment(),
        seconds={"whole": round(time.perf_counter() - begun, 1)},
        database="Milvus Lite" if options.lite else "Milvus server",
        dimension=options.dimension,
        k=options.k,
        others=others.share(),
        points=points,
    )


def _measure_rows(
    rows: int, options: ScaleOptions, bar: tqdm[Any]
) -> tuple[ScalePoint, dict[str, Mean]]:
    with temporary_gallery("scale", lite=options.lite) as location:
        bar.set_description(f"Making {rows:,} rows")
        exact = _write(location, rows, options)
        bar.update()
        bar.set_description(f"Putting {rows:,} rows")
        filled: FilledGallery = run_in_process(worker.fill, location, options.k)
        bar.update()
        bar.set_description(f"Searching {rows:,} rows")
        again: ReopenedGallery = run_in_process(worker.reopen, location, options.k, options.warm_up)
        bar.update()
        disk = _disk_mib(location.folder / "milvus.db") if options.lite else None
    return _point(rows, filled, again, disk, exact), _means(again.searches, exact, options)


def _write(location: GalleryLocation, rows: int, options: ScaleOptions) -> Neighbours:
    """Write the vectors to files for the other processes, and search them exactly."""
    distribution = Clustered(options.seed, options.dimension)
    queries = distribution.queries(options.queries)
    location.write_vectors(rows, distribution.gallery(rows, BLOCK), queries)
    return nearest_neighbours(location.batches(BLOCK), queries, options.k)


def _point(
    rows: int, filled: FilledGallery, again: ReopenedGallery, disk: float | None, exact: Neighbours
) -> ScalePoint:
    return ScalePoint(
        rows=rows,
        add_rate=round(rows / filled.put_seconds, 1),
        add_others=filled.put_others,
        build_seconds=round(filled.build_seconds, 3),
        building=_summarise_searches(filled.meanwhile, exact),
        built=_summarise_searches(again.searches, exact),
        restart_seconds=round(again.restart_seconds, 3),
        restart_others=again.restart_others,
        memory_mib=None if again.memory_mib is None else round(again.memory_mib, 1),
        disk_mib=None if disk is None else round(disk, 3),
    )


def _recalls(searches: TimedQueries, exact: Neighbours) -> list[float]:
    pairs = zip(searches.queries, searches.found, strict=True)
    return [ann_recall(found, exact.rows[query].tolist()) for query, found in pairs]


def _summarise_searches(searches: TimedQueries, exact: Neighbours) -> SearchFigures:
    milliseconds = 1000 * np.sort(searches.seconds)
    return SearchFigures(
        queries=len(searches.queries),
        p50_ms=round(percentile(milliseconds, 50), 3),
        p99_ms=round(percentile(milliseconds, 99), 3),
        ann_recall=round(float(np.mean(_recalls(searches, exact))), 5),
        others=searches.others,
    )


def _means(searches: TimedQueries, exact: Neighbours, options: ScaleOptions) -> dict[str, Mean]:
    milliseconds = 1000 * np.sort(searches.seconds)
    recalls = {f"ann_recall@{options.k}": _recalls(searches, exact)}
    return means_of(recalls, options.seed) | {
        f"search_p{percent}_ms": percentile_mean(milliseconds, percent) for percent in (50, 99)
    }


def _disk_mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
