"""Two measurements of copies by the same searches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.copies.result import Copies
from eval.copies.tables import SEARCH, of_edits
from eval.report.comparison import (
    Comparison,
    check_conditions,
    compare_pairs,
    correct,
    unknown_metric,
)
from eval.report.results import PER_QUERY, read_result, read_table

RECALLS = ("recall_copy", "recall_part")
"""Of edited queries whose original is there."""
FALSE = ("false_exact", "false_copy", "false_part", "false_part_any_label")
"""Of searches for what isn't there."""


def compare_copies(
    a: Path, others: Sequence[Path], metrics: Sequence[str], max_drop: float, seed: int = 0
) -> list[Comparison]:
    """Compare each of the other results with a, search by search, over the photos that the queries
    were made from.

    metrics: of RECALLS and FALSE; by default all. Raises WorkbenchError.
    """
    before, *afters = (_read(path) for path in (a, *others))
    names = metrics or [*RECALLS, *FALSE]
    pairs = [(after, name) for after in afters for name in names]
    return correct([_compare(before, after, name, max_drop, seed) for after, name in pairs])


def _read(path: Path) -> tuple[Copies, pd.DataFrame]:
    result = read_result(path, Copies)
    return result, read_table(path, PER_QUERY, SEARCH, result.metrics)


def _compare(
    a: tuple[Copies, pd.DataFrame],
    b: tuple[Copies, pd.DataFrame],
    name: str,
    max_drop: float,
    seed: int,
) -> Comparison:
    (before, before_rows), (after, after_rows) = a, b
    check_conditions(before, after)
    if name not in {*RECALLS, *FALSE}:
        raise unknown_metric(name, [*RECALLS, *FALSE])
    rows = of_edits(before_rows) if name in RECALLS else before_rows[~before_rows["there"]]
    shared = rows.merge(after_rows, on=SEARCH, suffixes=("_a", "_b"))
    shared = shared.rename(columns={"source_a": "photo"})
    return compare_pairs(before, after, name, shared, unit="photo", max_drop=max_drop, seed=seed)
