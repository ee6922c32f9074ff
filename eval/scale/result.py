"""run.json and points.parquet of `scale`."""

from __future__ import annotations

from typing import Literal

import pandas as pd

from eval.report.results import Result, ResultPart, short_hash

POINTS = "points.parquet"


class SearchFigures(ResultPart):
    """What queries took, one at a time, and found. Times, and what depends on them."""

    queries: int
    p50_ms: float
    p99_ms: float
    ann_recall: float
    others: float | None
    """Share of the machine's CPU time that other processes used meanwhile, a server on this machine
    among them. None without /proc, and for less than a second of all cores' time."""


class ScalePoint(ResultPart):
    """A gallery of some rows. Times, sizes, and what depends on times, but for `rows`."""

    rows: int
    add_rate: float
    """Rows a second, in batches of 500."""
    add_others: float | None
    """As `SearchFigures.others`."""
    build_seconds: float
    """From the last row put until the index covered all, while searches went on."""
    building: SearchFigures
    """Meanwhile."""
    built: SearchFigures
    """In a fresh process, after a warm-up."""
    restart_seconds: float
    """From opening the gallery in a fresh process to the first answer; imports left out."""
    restart_others: float | None
    """As `SearchFigures.others`."""
    memory_mib: float | None
    """What that process grew by: rows and index. None on a server, and where there is no /proc."""
    disk_mib: float | None
    """None on a server."""


class Scale(Result):
    """What `scale` measures. Times, and what depends on times: metrics, seconds, others, points.

    n: queries, held out. metrics: `ann_recall@10@1000` is of bogv's index over 1000 rows, whose
    graph comes out a little different each time; `search_p99_ms@1000` is a percentile of its
    searches in a fresh process, with the interval of order statistics, where it has one.
    """

    kind: Literal["scale"] = "scale"
    database: str
    dimension: int
    k: int
    others: float | None
    """Share of the CPU time used meanwhile by other processes, as in `speed`."""
    points: list[ScalePoint]

    @property
    def folder(self) -> str:
        rows = [point.rows for point in self.points]
        identity = [rows, self.database, self.dimension, self.k, self.n, self.seed]
        kind = "lite" if self.database == "Milvus Lite" else "server"
        return f"scale-{kind}-{max(rows)}-{short_hash(identity)}"

    @property
    def labels(self) -> dict[str, str | int]:
        return {**super().labels, "database": self.database}


def points_table(found: Scale) -> pd.DataFrame:
    """A row for each number of rows."""
    return pd.DataFrame(
        [
            {
                **point.model_dump(exclude={"building", "built"}),
                **{
                    f"{when}_{name}": value
                    for when in ("building", "built")
                    for name, value in getattr(point, when).model_dump().items()
                },
            }
            for point in found.points
        ]
    )
