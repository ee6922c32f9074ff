"""micro-AP and recall at a precision, by worked examples and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from eval.copies.ranked import RankedList, figures, resampled_figures


def ranked(scores: list[float], right: list[bool], wanted: int) -> RankedList:
    return RankedList(scores, right, list(range(len(scores))), list(range(wanted)))


def test_what_is_never_named_counts_as_missed() -> None:
    """Right, wrong, right, of four originals: 1/4 · 1 + 1/4 · 2/3."""
    found = figures(ranked([0.9, 0.8, 0.7], [True, False, True], 4).curve())
    assert found["micro_ap"] == pytest.approx(0.25 + 0.25 * 2 / 3)
    assert found["recall@p90"] == found["recall@p99.9"] == 0.25


def test_a_recall_is_the_highest_with_that_precision_not_the_first() -> None:
    right = [False] + [True] * 99
    curve = ranked(list(range(100, 0, -1)), right, 99).curve()
    assert curve.recall_at(0.99) == 1
    assert curve.threshold_at(0.99) == 1
    assert curve.recall_at(0.999) == 0
    assert curve.threshold_at(0.999) == np.inf


def test_equal_confidences_are_one_step_in_any_order() -> None:
    first = ranked([0.5, 0.5, 0.4], [True, False, True], 2).curve()
    second = ranked([0.5, 0.5, 0.4], [False, True, True], 2).curve()
    assert first.micro_ap == second.micro_ap == pytest.approx(0.5 / 2 + 0.5 * 2 / 3)


def test_micro_ap_is_that_of_scikit_learn_where_all_is_named() -> None:
    rng = np.random.default_rng(0)
    scores, right = rng.integers(0, 20, 200) / 20, rng.random(200) < 0.3
    curve = RankedList(scores, right, np.arange(200), np.flatnonzero(right)).curve()
    assert curve.micro_ap == pytest.approx(average_precision_score(right, scores))


def test_a_unit_that_is_drawn_twice_counts_twice() -> None:
    once = RankedList([0.9, 0.8, 0.7, 0.7], [True, False, True, True], [0, 1, 2, 2], [0, 2, 2])
    twice = ranked([0.9, 0.8, 0.8], [True, False, False], 1)
    assert figures(once.curve(np.array([1.0, 2.0, 0.0]))) == figures(twice.curve())


def test_nothing_named_and_nothing_wanted_is_zero() -> None:
    for empty in (ranked([], [], 3), ranked([0.5], [False], 0)):
        assert set(figures(empty.curve()).values()) == {0.0}


def test_resamples_are_the_same_for_all_methods_and_for_a_seed() -> None:
    lists = {name: ranked([0.9, 0.8, 0.7], [True, False, True], 3) for name in ("network", "all")}
    first, again = (resampled_figures(lists, 3, seed=1, resamples=20) for _ in range(2))
    assert np.array_equal(first["all"]["micro_ap"], first["network"]["micro_ap"])
    assert np.array_equal(first["all"]["micro_ap"], again["all"]["micro_ap"])
    assert np.ptp(first["all"]["micro_ap"]) > 0
