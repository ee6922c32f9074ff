from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from eval.errors import WorkbenchError
from eval.report.comparison import (
    Comparison,
    check_conditions,
    compare_independent,
    correct,
    less_is_better,
)
from eval.report.results import Mean, Result
from eval.statistics.comparisons import Difference


class Timed(Result):
    """A result with conditions."""

    limit: int = 10

    @property
    def conditions(self) -> dict[str, Any]:
        return {"limit": self.limit}


def timed(latency: float, recall: float, **more: Any) -> Timed:
    metrics = {
        "latency_p50_ms@c1": Mean(value=latency, ci95=(latency - 1, latency + 1), units=500),
        "latency_p99.9_ms@c1": Mean(value=latency, ci95=None, units=500),
        "ann_recall@10": Mean(value=recall, ci95=(recall - 0.01, recall + 0.01)),
    }
    fields = {"weights": None, "kind": "latency", "command": "", "n": 900, "seed": 0}
    parts: dict[str, Any] = {"revision": None, "machine": {}, "packages": {}, "seconds": {}}
    return Timed.model_validate(fields | parts | {"metrics": metrics} | more)


def test_a_longer_latency_is_worse_and_a_higher_recall_is_not() -> None:
    found = compare_independent(timed(10, 0.9), [timed(14, 0.95)], [], 0.0)
    verdicts = {each.metric: each.verdict for each in found}
    assert verdicts == {
        "latency_p50_ms@c1": "undecided",  # sure by itself, but of three comparisons
        "latency_p99.9_ms@c1": "undecided",
        "ann_recall@10": "not worse",
    }
    [alone] = compare_independent(timed(10, 0.9), [timed(14, 0.95)], ["latency_p50_ms@c1"], 0.0)
    assert (alone.verdict, alone.before, alone.after, alone.n) == ("worse", 10, 14, 500)
    assert alone.difference.value == -4
    assert alone.fails


def test_with_a_margin_only_what_is_shown_passes() -> None:
    [far] = compare_independent(timed(10, 0.9), [timed(11, 0.9)], ["latency_p50_ms@c1"], 3.0)
    assert (far.verdict, far.fails) == ("not worse", False)
    [close] = compare_independent(timed(10, 0.9), [timed(11, 0.9)], ["latency_p50_ms@c1"], 2.0)
    assert (close.verdict, close.fails) == ("undecided", True)


def test_results_of_other_conditions_or_without_the_metric_are_rejected() -> None:
    with pytest.raises(WorkbenchError, match="the limit is 10 in one and 20 in the other"):
        check_conditions(timed(1, 1), timed(1, 1, limit=20))
    with pytest.raises(WorkbenchError, match="the kind is latency in one and ann"):
        check_conditions(timed(1, 1), timed(1, 1, kind="ann"))
    with pytest.raises(WorkbenchError, match=r"no metric 'map'; they have latency_p50_ms@c1"):
        compare_independent(timed(1, 1), [timed(1, 1)], ["map"], 0.0)


def test_several_comparisons_are_corrected() -> None:
    result = timed(1, 1)
    difference = Difference(-0.1, (-0.15, -0.05), 0.02, 100, 0.1)
    one = Comparison(result, result, "map", 0.5, 0.4, 100, difference, 0.0, 0.02)
    assert correct([one])[0].verdict == "worse"
    harmless = replace(one, difference=replace(difference, p_worse=0.5))
    assert [each.verdict for each in correct([one, harmless])] == ["undecided", "undecided"]
    assert [each.p_worse for each in correct([one, harmless])] == [0.04, 0.5]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("latency_p50_ms@c4", True), ("seconds", True), ("hit_rate@1", False), ("map", False)],
)
def test_less_is_better_of_times(metric: str, expected: bool) -> None:
    assert less_is_better(metric) is expected
