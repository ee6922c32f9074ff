"""run.json and points.parquet of `ann`."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from eval.report.results import Mean, Result, ResultPart, short_hash, weights_text

POINTS = "points.parquet"


class VectorsPart(ResultPart):
    """The vectors that were searched."""

    source: str
    """`synthetic`, or a dataset's id."""
    gallery: int
    dimension: int
    parameters: dict[str, int | float]
    """Of `eval.harness.synthetic.Clustered`; empty for a dataset."""
    digest: str
    """12 hex digits, a hash of all bytes: equal for equal vectors and queries."""


class IndexCost(ResultPart):
    """The cost of an index: times and memory, which vary between runs."""

    queries_per_second: float
    p50_ms: float
    p99_ms: float
    build_seconds: float
    """Time to build the index over all rows, which were stored before."""
    memory_mib: float | None
    """Memory of rows and index in a process that has opened the gallery and run the warm-up
    queries; the same for all points of one build. None on a server."""
    others: float | None
    """Share of the machine's CPU time that other processes used during the search, a server on this
    machine among them. None without /proc, and for less than a second of all cores' time."""
    build_others: float | None
    """The same during the build."""


class AnnPoint(ResultPart):
    """An index with one set of parameters."""

    index: str
    build: dict[str, int]
    search: dict[str, int]
    own: bool
    """Whether it is bogv's own."""
    metrics: dict[str, Mean]
    cost: IndexCost

    @property
    def label(self) -> str:
        """`HNSW M 16, efConstruction 200, ef 256`."""
        given = ", ".join(f"{name} {value}" for name, value in (self.build | self.search).items())
        return f"{self.index} {given}".strip()


class Ann(Result):
    """What `ann` measures. Times, and what depends on them, are in `seconds` and each `cost`.

    `metrics` are those of bogv's own index. With build_threads other than 1, graph indexes come
    out a little different each time, and so do their metrics.
    """

    kind: Literal["ann"] = "ann"
    vectors: VectorsPart
    database: str
    k: int
    threads: int
    """The number of concurrent searches."""
    build_threads: int
    """Threads with which Milvus Lite built; 0: one for each core. Not used on a server."""
    points: list[AnnPoint]

    @property
    def conditions(self) -> dict[str, Any]:
        return {"vectors": self.vectors.digest, "k": self.k}

    @property
    def folder(self) -> str:
        asked = [[p.index, p.build, p.search] for p in self.points]
        identity = [self.vectors.digest, self.n, self.k, self.seed, self.threads]
        identity += [self.build_threads, self.database, asked]
        return f"ann-{self.vectors.source}-{self.vectors.gallery}-{short_hash(identity)}"

    @property
    def labels(self) -> dict[str, str | int]:
        return {
            "weights": weights_text(self.weights),
            "vectors": self.vectors.source,
            "gallery": self.vectors.gallery,
            "index": "bogv's own",
        }

    @property
    def own(self) -> AnnPoint:
        """The point of bogv's own index."""
        return next(point for point in self.points if point.own)


def points_table(ann: Ann) -> pd.DataFrame:
    """A row for each point: parameters in columns of their own, empty where there are none."""
    return pd.DataFrame(
        [
            {
                "index": point.index,
                "own": point.own,
                "label": point.label,
                **{f"build_{name}": value for name, value in point.build.items()},
                **{f"search_{name}": value for name, value in point.search.items()},
                **{name: mean.value for name, mean in point.metrics.items()},
                **_interval_columns(point),
                **point.cost.model_dump(),
            }
            for point in ann.points
        ]
    )


def _interval_columns(point: AnnPoint) -> dict[str, float]:
    """The ends of each metric's interval; none where it has none."""
    ends = {name: mean.ci95 for name, mean in point.metrics.items()}
    return {
        f"{name}_{end}": value
        for name, interval in ends.items()
        if interval is not None
        for end, value in zip(("low", "high"), interval, strict=True)
    }
