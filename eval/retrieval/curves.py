"""The curves of a run: hit_rate@k and recall@k over k, and precision over recall.

Precision over recall is interpolated at eleven levels. Source: Manning, Raghavan, Schütze,
Introduction to Information Retrieval, section 8.4: the interpolated precision at recall r is the
highest precision at any recall of at least r; at the levels 0.0, 0.1, ..., 1.0 it is averaged over
the queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from eval.metrics import Relevance
from eval.report.document import Figure
from eval.report.plots import BLUE, GREY, render
from eval.retrieval.scoring import DEEP, JudgedRanking
from eval.statistics.intervals import Summary, summarise

Curve = NDArray[np.float64]
"""(k, 3): mean, lower and upper end of its 95% interval, NaN where there is none."""

STEPS = (*range(1, 11), 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
PRECISION_RECALL = "precision_recall.parquet"
LEVELS = 11


# Over k


@dataclass(frozen=True)
class Curves:
    """hit_rate@k and recall@k by k."""

    ks: list[int]
    hit_rate: Curve
    recall: Curve
    best: NDArray[np.float64]
    """(k,): recall@k of a perfect ranking, below 1 if a query has more than k relevant images."""


def compute_curves(queries: pd.DataFrame, also: Iterable[int], deepest: int, seed: int) -> Curves:
    """Both curves, with intervals over the sampling units.

    queries: of per_query.parquet. also: the run's k, at which the curves equal the metrics of
    run.json, with their intervals. deepest: the length of the rankings; the curves end at 100.
    """
    ends = {min(k, deepest, DEEP) for k in (*STEPS, *also)}
    ks = np.array(sorted(ends))
    first = queries["first_relevant"].to_numpy(np.float64, na_value=np.inf)
    total = queries["relevant"].to_numpy(np.float64)
    found = np.stack([np.searchsorted(ranks, ks, "right") for ranks in queries["relevant_places"]])
    columns = {f"hit {k}": first <= k for k in ks} | {
        f"recall {k}": found[:, at] / total for at, k in enumerate(ks)
    }
    summary = summarise(columns, queries["unit"], None, seed)
    return Curves(
        ks=ks.tolist(),
        hit_rate=np.array([_row(summary[f"hit {k}"]) for k in ks]),
        recall=np.array([_row(summary[f"recall {k}"]) for k in ks]),
        best=np.array([np.minimum(k / total, 1).mean() for k in ks]),
    )


def _row(mean: Summary) -> list[float]:
    return [mean["value"], *(mean["ci95"] or (np.nan, np.nan))]


# Precision over recall


@dataclass
class PrecisionRecall:
    """The interpolated precisions of each scored query; `observe` adds one."""

    queries: list[NDArray[np.float64]] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    """The sampling unit of each."""

    def observe(self, ranking: JudgedRanking) -> None:
        """Add a query's ranking, as it is scored."""
        self.queries.append(interpolated_precision(ranking.rel, ranking.total))
        self.units.append(ranking.unit)

    def table(self, seed: int) -> pd.DataFrame:
        """Columns recall, precision (the mean over queries), ci95_low and ci95_high; 11 rows."""
        columns = dict(zip(_names(), np.stack(self.queries, axis=1), strict=True))
        means = summarise(columns, self.units, None, seed)
        rows = [
            [float(name), mean["value"], *(mean["ci95"] or (np.nan, np.nan))]
            for name, mean in means.items()
        ]
        return pd.DataFrame(rows, columns=["recall", "precision", "ci95_low", "ci95_high"])


def interpolated_precision(rel: Relevance, total: int) -> NDArray[np.float64]:
    """(11,): the interpolated precision at recall 0.0, 0.1, ..., 1.0 of one query's ranking.

    max over the ranks r with recall(r) >= level of found(r) / r; 0 for a recall that the ranking
    doesn't reach. Arguments as in `eval.metrics`. Source: the module's.

    Precision is 1/2 at recall 1/2, and 2/4 at recall 1:

    >>> interpolated_precision(np.array([0, 1, 0, 1], dtype=bool), total=2).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    """
    ranks = np.flatnonzero(rel) + 1
    precisions = np.arange(1, ranks.size + 1) / ranks
    # Only where something is found is precision a maximum; the last entry is for what is not.
    highest = np.append(np.maximum.accumulate(precisions[::-1])[::-1], 0.0)
    # In integers: 0.3 * 10 is not 3 in floats. The first rank with found / total >= level.
    needed = np.maximum(-(-np.arange(LEVELS) * total // (LEVELS - 1)), 1)
    curve: NDArray[np.float64] = highest[np.minimum(needed - 1, ranks.size)]
    return curve


def _names() -> list[str]:
    return [f"{level / (LEVELS - 1):.1f}" for level in range(LEVELS)]


def precision_recall_figure(table: pd.DataFrame, chance: float) -> Figure:
    """The curve with its intervals. table: of `PrecisionRecall`. chance: of a random ranking."""
    first, middle, last = table["precision"].iloc[[0, LEVELS // 2, -1]]
    return Figure(
        "precision-recall",
        render(lambda axes: _draw(axes, table, chance), height=6.2),
        f"Interpolated precision falls from {first:.3f} at recall 0 to {middle:.3f} at recall 0.5"
        f" and {last:.3f} at recall 1.",
    )


def _draw(axes: Axes, table: pd.DataFrame, chance: float) -> None:
    recall = table["recall"]
    axes.plot(
        recall,
        table["precision"],
        "o-",
        color=BLUE,
        clip_on=False,
        label="interpolated precision, mean over queries (band: 95% interval)",
    )
    low, high = table["ci95_low"], table["ci95_high"]
    axes.fill_between(recall, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.axhline(chance, linestyle=":", color=GREY, label="share of the gallery that is relevant")
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        axis.set_major_locator(MultipleLocator(0.2))
        axes.set(**{f"{name}lim": (0, 1.02)})
    axes.set(xlabel="recall: share of a query's relevant images", ylabel="precision")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
