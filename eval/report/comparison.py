"""A comparison of two results: the difference of a metric, its test and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from eval.errors import WorkbenchError
from eval.report.results import UPPER, Result
from eval.statistics.comparisons import (
    Difference,
    Verdict,
    holm,
    independent_difference,
    judge,
    paired_difference,
)


@dataclass(frozen=True)
class Flips:
    """Queries that one of two runs answered and the other didn't."""

    k: int
    """A query counts as answered if a relevant image is among the first k."""
    lost: list[str]
    """Ids of those that a answered and b didn't."""
    won: list[str]


@dataclass(frozen=True)
class Comparison:
    """What a comparison of result b with result a found, by one metric."""

    a: Result
    b: Result
    metric: str
    before: float
    """The metric in a."""
    after: float
    n: int
    """Queries of both; the smaller sample of independent results."""
    difference: Difference
    """b - a; of a metric of which less is better, a - b."""
    max_drop: float
    p_worse: float
    """Of the test that b is worse, corrected where several comparisons were made."""
    flips: Flips | None = field(default=None)

    @property
    def verdict(self) -> Verdict:
        """See `eval.statistics.comparisons.judge`."""
        return judge(self.difference, self.max_drop, self.p_worse)

    @property
    def fails(self) -> bool:
        """Whether `compare` exits with 1: b is worse, or with a margin is not shown not to be."""
        return self.verdict == "worse" or (self.max_drop > 0 and self.verdict != "not worse")


def correct(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with p-values corrected for their number by Holm's method."""
    corrected = holm([each.difference.p_worse for each in comparisons])
    return [replace(each, p_worse=p) for each, p in zip(comparisons, corrected, strict=True)]


def check_conditions(a: Result, b: Result) -> None:
    """Raise WorkbenchError unless both answered the same questions."""
    names = {"kind": (a.kind, b.kind)} | {
        name: (value, b.conditions.get(name)) for name, value in a.conditions.items()
    }
    for name, (first, second) in names.items():
        if first != second:
            raise WorkbenchError(
                f"The runs can't be compared: the {name} is {first} in one and {second} in the"
                " other."
            )


def compare_pairs(
    a: Result,
    b: Result,
    metric: str,
    shared: pd.DataFrame,
    *,
    unit: str,
    max_drop: float,
    seed: int,
    flips: Flips | None = None,
) -> Comparison:
    """Compare two results by what both measured of the same queries.

    shared: a row for each, with the columns `<metric>_a` and `<metric>_b`. unit: the column of
    the sampling units.
    """
    before, after = shared[f"{metric}_a"], shared[f"{metric}_b"]
    pair = (before.to_numpy(), after.to_numpy())
    worse, better = pair[::-1] if less_is_better(metric) else pair
    found = paired_difference(worse, better, shared[unit], seed, UPPER.get(metric, 1.0))
    return Comparison(
        a=a,
        b=b,
        metric=metric,
        before=float(before.mean()),
        after=float(after.mean()),
        n=len(shared),
        difference=found,
        max_drop=max_drop,
        p_worse=found.p_worse,
        flips=flips,
    )


def less_is_better(metric: str) -> bool:
    """Whether a metric is a time, `latency_p50_ms@c4`, or a share of errors, `false_copy`."""
    return "_ms" in metric or "seconds" in metric or metric.startswith("false_")


def compare_independent(
    a: Result, others: Sequence[Result], metrics: Sequence[str], max_drop: float
) -> list[Comparison]:
    """Compare figures of measurements that share no queries, such as latencies, with those of a.

    metrics: by default all that both have. Raises WorkbenchError.
    """
    found = []
    for b in others:
        check_conditions(a, b)
        shared = [name for name in a.metrics if name in b.metrics]
        for name in metrics or shared:
            if name not in shared:
                raise unknown_metric(name, shared)
            found.append(_compare_figure(a, b, name, max_drop))
    return correct(found)


def _compare_figure(a: Result, b: Result, metric: str, max_drop: float) -> Comparison:
    first, second = a.metrics[metric], b.metrics[metric]
    pair: Any = ((first.value, first.ci95), (second.value, second.ci95))
    found = independent_difference(*(pair[::-1] if less_is_better(metric) else pair))
    n = min(first.units or a.n, second.units or b.n)
    return Comparison(a, b, metric, first.value, second.value, n, found, max_drop, found.p_worse)


def unknown_metric(name: str, known: Sequence[str]) -> WorkbenchError:
    """The error for a metric that the results don't have."""
    return WorkbenchError(f"The runs have no metric {name!r}; they have {', '.join(known)}.")
