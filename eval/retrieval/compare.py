"""Two runs of the same queries: is the second worse, and which queries flipped?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.errors import WorkbenchError
from eval.report.comparison import (
    Comparison,
    Flips,
    check_conditions,
    compare_pairs,
    correct,
    unknown_metric,
)
from eval.retrieval.result import Run, read_run

Queries = tuple[Run, pd.DataFrame]


def compare(
    a: Path, b: Path, metric: str | None = None, max_drop: float = 0.0, seed: int = 0
) -> Comparison:
    """Compare run b with run a, query by query.

    metric: as named in run.json; None: the dataset's headline. max_drop: in the metric's unit.
    Raises WorkbenchError for runs that can't be compared.
    """
    [found] = compare_runs(a, [b], [metric] if metric else [], max_drop, seed)
    return found


def compare_runs(
    a: Path, others: Sequence[Path], metrics: Sequence[str], max_drop: float, seed: int = 0
) -> list[Comparison]:
    """Compare each of the other runs with run a by each metric, corrected for their number."""
    before = read_run(a)
    names = list(metrics) or [before[0].dataset.headline]
    pairs = [(read_run(other), name) for other in others for name in names]
    return correct([_compare(before, after, name, max_drop, seed) for after, name in pairs])


def _compare(a: Queries, b: Queries, name: str, max_drop: float, seed: int) -> Comparison:
    (before, before_queries), (after, after_queries) = a, b
    check_conditions(before, after)
    for run, queries in (a, b):
        known = [metric for metric in run.metrics if metric in queries.columns]
        if name not in known:
            raise unknown_metric(name, known)
    shared = before_queries.merge(after_queries, on="query", suffixes=("_a", "_b"))
    if shared.empty:
        raise WorkbenchError("The two runs have no query in common.")
    flips = _find_flips(shared, _flip_k(name, before))
    return compare_pairs(
        before, after, name, shared, unit="unit_a", max_drop=max_drop, seed=seed, flips=flips
    )


def _find_flips(shared: pd.DataFrame, k: int) -> Flips:
    right_a, right_b = (_is_right(shared[f"first_relevant_{side}"], k) for side in "ab")
    return Flips(
        k=k,
        lost=sorted(shared["query"][right_a & ~right_b].tolist()),
        won=sorted(shared["query"][right_b & ~right_a].tolist()),
    )


def _flip_k(metric: str, run: Run) -> int:
    """The metric's own k; for a metric without one, the smallest that was asked for."""
    _, _, own = metric.partition("@")
    return int(own) if own.isdigit() else min(run.k)


def _is_right(first_relevant: pd.Series[int], k: int) -> pd.Series[bool]:
    return (first_relevant <= k).fillna(value=False).astype(bool)
