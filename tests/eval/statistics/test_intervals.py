from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from eval.statistics import intervals
from eval.statistics.intervals import mean_summary, summarise, wilson
from eval.statistics.units import sum_by_unit

shares = st.lists(st.floats(0, 1), min_size=2, max_size=30)
seeds = st.integers(0, 2**32)


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(intervals)
    assert failed == 0
    assert tried >= 4


def test_means_worked_by_hand() -> None:
    table = {"map": [1.0, 0.5, 0.0, 0.5], "mrr": [1.0, 1.0, 1.0, 1.0]}
    found = summarise(table, None, ["cat", "cat", "cat", "dog"], seed=0)
    assert list(found) == ["map", "mrr", "map_per_class", "mrr_per_class"]
    assert found["map"]["value"] == 0.5
    assert found["map_per_class"]["value"] == 0.5  # (0.5 + 0.5) / 2
    assert found["mrr"]["value"] == found["mrr_per_class"]["value"] == 1.0
    assert (found["map"]["units"], found["map_per_class"]["units"]) == (4, 2)


def test_every_class_weighs_the_same_in_the_mean_per_class() -> None:
    found = summarise({"map": [1.0] * 9 + [0.0]}, None, [0] * 9 + [1], seed=0)
    assert found["map"]["value"] == 0.9
    assert found["map_per_class"]["value"] == 0.5


def test_without_classes_there_is_no_mean_per_class() -> None:
    assert list(summarise({"map": [0.5]}, None, None, seed=0)) == ["map"]
    assert summarise({}, None, None, seed=0) == {}


def test_wilsons_interval_is_that_of_the_literature() -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion, 1998, table I, method 3.
    for hits, queries, expected in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))):
        values = [1.0] * hits + [0.0] * (queries - hits)
        assert wilson(sum_by_unit(values, None)) == pytest.approx(expected, abs=5e-5)
    assert wilson(sum_by_unit([0.0] * 20, None)) == pytest.approx((0, 0.1611), abs=5e-5)


def test_at_0_and_at_1_the_interval_does_not_collapse() -> None:
    for values in ([1.0] * 20, [0.0] * 20, [0.5] * 20):
        summary = mean_summary(values, None, seed=0)
        assert summary["method"] == "Wilson"
        low, high = summary["ci95"] or (0, 0)
        assert high - low > 0.1


def test_queries_that_repeat_their_unit_count_once() -> None:
    """Ten units of equal queries say no more than ten queries do."""
    alone = mean_summary([1.0] * 6 + [0.0] * 4, None, seed=0)["ci95"]
    repeated = mean_summary([1.0] * 60 + [0.0] * 40, np.repeat(np.arange(10), 10), seed=0)["ci95"]
    independent = mean_summary([1.0] * 60 + [0.0] * 40, None, seed=0)["ci95"]
    assert alone
    assert repeated
    assert independent
    assert repeated[1] - repeated[0] >= alone[1] - alone[0]
    assert independent[1] - independent[0] < (repeated[1] - repeated[0]) / 2


def test_a_single_unit_has_no_interval() -> None:
    summary = mean_summary([1.0, 0.0, 1.0], ["a"] * 3, seed=0)
    assert (summary["ci95"], summary["method"], summary["units"]) == (None, "none", 1)


@given(shares, seeds)
def test_the_interval_lies_within_the_bounds_and_holds_the_mean(
    values: list[float], seed: int
) -> None:
    summary = mean_summary(values, None, seed)
    low, high = summary["ci95"] or (0.0, 1.0)
    assert 0 <= low <= summary["value"] + 1e-9
    assert summary["value"] - 1e-9 <= high <= 1


def test_a_metric_up_to_4_has_the_interval_of_its_quarter_times_4() -> None:
    values = np.random.default_rng(0).random(60)
    quarter, whole = mean_summary(values, None, 0), mean_summary(4 * values, None, 0, upper=4)
    assert np.multiply(quarter["ci95"] or (), 4) == pytest.approx(whole["ci95"])


def test_the_chunk_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(40)
    whole = mean_summary(values, None, seed=3)
    monkeypatch.setattr(intervals, "CELLS", 100)
    assert mean_summary(values, None, seed=3)["ci95"] == pytest.approx(whole["ci95"], rel=1e-12)


def test_the_seed_decides() -> None:
    values = np.random.default_rng(0).random(50)
    assert mean_summary(values, None, 1) == mean_summary(values, None, 1)
    assert mean_summary(values, None, 1) != mean_summary(values, None, 2)


def test_many_queries_have_the_normal_interval() -> None:
    values = np.asarray(load_iris().data[:, 0]) / 8  # skewed a little, and real
    low, high = mean_summary(values, None, seed=0)["ci95"] or (0, 0)
    assert high - low == pytest.approx(2 * 1.976 * values.std(ddof=1) / 150**0.5, rel=0.08)


def test_columns_of_different_lengths_are_rejected() -> None:
    with pytest.raises(ValueError, match="map 1, mrr 2"):
        summarise({"map": [1.0], "mrr": [1.0, 0.5]}, None, None, seed=0)
    with pytest.raises(ValueError, match="map is not finite"):
        summarise({"map": [1.0, float("nan")]}, None, None, seed=0)
