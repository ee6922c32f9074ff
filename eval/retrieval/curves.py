"""hit_rate@k and recall@k for every k, from what a run keeps of each query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.retrieval.scoring import DEEP
from eval.statistics.intervals import Summary, summarise

Curve = NDArray[np.float64]
"""(k, 3): mean, lower and upper end of its 95% interval, NaN where there is none."""

STEPS = (*range(1, 11), 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


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
