"""Two measurements of robustness on the same edited images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.report.comparison import (
    Comparison,
    check_conditions,
    compare_pairs,
    correct,
    unknown_metric,
)
from eval.report.results import PER_QUERY, read_result, read_table
from eval.robustness.result import HEADLINE, Robustness

EDITED_IMAGE = ["image", "edit", "strength"]


def compare_robustness(
    a: Path, others: Sequence[Path], metrics: Sequence[str], max_drop: float, seed: int = 0
) -> list[Comparison]:
    """Compare each of the other results with a, edited image by edited image.

    metrics: of all edits; by default hit_rate@1. Raises WorkbenchError.
    """
    before, *afters = (_read(path) for path in (a, *others))
    pairs = [(after, name) for after in afters for name in metrics or [HEADLINE]]
    return correct([_compare(before, after, name, max_drop, seed) for after, name in pairs])


def _read(path: Path) -> tuple[Robustness, pd.DataFrame]:
    result = read_result(path, Robustness)
    return result, read_table(path, PER_QUERY, EDITED_IMAGE, result.metrics)


def _compare(
    a: tuple[Robustness, pd.DataFrame],
    b: tuple[Robustness, pd.DataFrame],
    name: str,
    max_drop: float,
    seed: int,
) -> Comparison:
    (before, before_rows), (after, after_rows) = a, b
    check_conditions(before, after)
    known = [metric for metric in before.metrics if metric in before_rows.columns]
    if name not in known:
        raise unknown_metric(name, known)
    shared = before_rows.merge(after_rows, on=EDITED_IMAGE, suffixes=("_a", "_b"))
    shared = shared[shared["edit"] != "none"]
    return compare_pairs(before, after, name, shared, unit="image", max_drop=max_drop, seed=seed)
