from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import statistics
from eval.statistics import (
    Difference,
    bootstrap_interval,
    class_means,
    paired_bootstrap,
    percentile,
    percentile_interval,
    summarise,
)

shares = st.lists(st.floats(0, 1), min_size=1, max_size=30)
seeds = st.integers(0, 2**32)


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(statistics)
    assert failed == 0
    assert tried >= 4


def test_means_worked_by_hand() -> None:
    table = {"map": [1.0, 0.5, 0.0, 0.5], "mrr": [1.0, 1.0, 1.0, 1.0]}
    found = summarise(table, classes=["cat", "cat", "cat", "dog"], seed=0)
    assert list(found) == ["map", "mrr", "map_per_class", "mrr_per_class"]
    assert found["map"]["value"] == 0.5
    assert found["map_per_class"]["value"] == 0.5  # (0.5 + 0.5) / 2
    assert found["mrr"] == found["mrr_per_class"] == {"value": 1.0, "ci95": [1.0, 1.0]}


def test_every_class_weighs_the_same_in_the_mean_per_class() -> None:
    found = summarise({"map": [1.0] * 9 + [0.0]}, classes=[0] * 9 + [1], seed=0)
    assert found["map"]["value"] == 0.9
    assert found["map_per_class"] == {"value": 0.5, "ci95": [0.5, 0.5]}  # neither class varies


def test_without_classes_there_is_no_mean_per_class() -> None:
    assert list(summarise({"map": [0.5]}, None, seed=0)) == ["map"]
    assert summarise({}, None, seed=0) == {}


def test_a_class_has_its_mean() -> None:
    labels, means = class_means([1.0, 0.0, 0.5, 0.25], ["b", "b", "a", "a"])
    assert labels.tolist() == ["a", "b"]
    assert means.tolist() == [0.375, 0.5]


@given(shares, seeds)
def test_the_interval_is_between_two_values(values: list[float], seed: int) -> None:
    low, high = bootstrap_interval(values, seed, resamples=50)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=30), st.data())
def test_the_order_of_the_queries_changes_nothing(
    queries: list[tuple[float, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(queries))

    def summary(rows: list[tuple[float, int]]) -> Any:
        values, classes = zip(*rows, strict=True)
        return summarise({"map": values}, np.array(classes), seed=1, resamples=20)

    assert summary(shuffled) == summary(queries)


@given(shares, st.integers(1, 40))
def test_the_chunk_size_changes_nothing(values: list[float], cells: int) -> None:
    whole = bootstrap_interval(values, seed=3, resamples=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "CELLS", cells)
        assert bootstrap_interval(values, seed=3, resamples=30) == whole


def test_the_seed_decides() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values, seed=2)


def test_a_metric_has_the_same_interval_alone_and_in_a_table() -> None:
    generator = np.random.default_rng(0)
    table = {"map": generator.random(40), "mrr": generator.random(40)}
    together = summarise(table, None, seed=5)
    for name, values in table.items():
        assert together[name]["ci95"] == list(bootstrap_interval(values, seed=5))


def test_one_class_alone_is_the_plain_mean() -> None:
    found = summarise({"map": np.random.default_rng(0).random(40)}, np.zeros(40), seed=5)
    assert found["map_per_class"] == found["map"]


def test_the_interval_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    low, high = bootstrap_interval(values, seed=0, resamples=5000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 1000**0.5, rel=0.05)
    # Two classes of 100 and 900: the variances of their means add up, a quarter of each.
    classes = np.repeat([0, 1], [100, 900])
    spread = (values[:100].var() / 100 + values[100:].var() / 900) ** 0.5 / 2
    found = summarise({"map": values}, classes, seed=0, resamples=5000)["map_per_class"]["ci95"]
    assert found[1] - found[0] == pytest.approx(2 * 1.96 * spread, rel=0.05)


def test_nineteen_intervals_in_twenty_hold_the_truth() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for seed in range(400):
        low, high = bootstrap_interval(generator.random(100) < 0.7, seed, resamples=300)
        held += low <= 0.7 <= high
    assert 0.91 < held / 400 < 0.98


def test_a_run_does_not_differ_from_itself() -> None:
    values = np.random.default_rng(0).random(30)
    assert paired_bootstrap(values, values, seed=0) == Difference(0.0, (0.0, 0.0), 0.0)


def test_a_drop_of_every_query_is_certain() -> None:
    found = paired_bootstrap([0.5, 1.0, 0.75], [0.25, 0.5, 0.5], seed=0)
    assert found.value == pytest.approx(-1 / 3)
    assert found.ci95[1] < 0
    assert found.below_zero == 1


def test_a_random_difference_is_not_significant() -> None:
    change = np.array([0.1, -0.1] * 50)
    found = paired_bootstrap(np.full(100, 0.5), 0.5 + change, seed=0)
    assert found.ci95[0] < 0 < found.ci95[1]
    assert 0.4 < found.below_zero < 0.6


def test_pairing_detects_differences_that_separate_intervals_do_not() -> None:
    generator = np.random.default_rng(0)
    before = generator.random(200)
    after = before + generator.normal(0.02, 0.05, 200)
    assert bootstrap_interval(before, seed=0)[1] > bootstrap_interval(after, seed=0)[0]
    assert paired_bootstrap(before, after, seed=0).ci95[0] > 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.data())
def test_the_order_of_the_pairs_changes_nothing(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    (a, b), (c, d) = np.array(pairs).T, np.array(data.draw(st.permutations(pairs))).T
    assert paired_bootstrap(a, b, seed=0) == paired_bootstrap(c, d, seed=0)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: bootstrap_interval([], seed=0), "one value per query"),
        (lambda: bootstrap_interval([[1.0, 2.0]], seed=0), "one value per query"),
        (lambda: bootstrap_interval([1.0, float("nan")], seed=0), "not finite"),
        (lambda: bootstrap_interval([1.0], seed=0, resamples=0), "not 0"),
        (lambda: summarise({"map": [1.0, float("nan")]}, None, seed=0), "map is not finite"),
        (lambda: summarise({"map": [1.0], "mrr": [1.0, 0.5]}, None, 0), "map 1, mrr 2"),
        (lambda: summarise({"map": [1.0]}, [1, 2], seed=0), "2 classes for 1 queries"),
        (lambda: class_means([1.0], [1, 2]), "2 classes for 1 queries"),
        (lambda: paired_bootstrap([1.0], [1.0, 0.5], seed=0), "1 queries and run b 2"),
    ],
)
def test_what_would_give_a_wrong_number_is_refused(call: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0.1, 1), (50, 500), (90, 900), (99, 990), (99.9, 999), (99.95, 1000), (100, 1000)],
)
def test_percentiles_of_a_thousand_values(percent: float, expected: float) -> None:
    assert percentile(np.arange(1, 1001), percent) == expected


def test_percentiles_of_few_values_are_values() -> None:
    assert percentile([7.0], 50) == 7
    assert percentile([1.0, 9.0], 50) == 1
    assert percentile([1.0, 9.0], 51) == 9
    assert percentile([1.0, 2.0, 3.0], 99.9) == 3


def test_the_interval_of_a_percentile_is_that_of_the_tables() -> None:
    # Binomial (100, 0.5): P(X <= 39) = 0.0176, P(X <= 40) = 0.0284; P(X <= 60) = 0.9824.
    assert percentile_interval(np.arange(1, 101), 50) == (40, 61)
    # Of ten values the 99th percentile may lie anywhere up to the largest.
    low, high = percentile_interval(np.arange(1, 11), 99)
    assert (low, high) == (9, 10)
    assert percentile_interval([5.0], 50) == (5, 5)


def test_the_interval_has_its_nominal_coverage_of_the_median() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = percentile_interval(np.sort(generator.exponential(size=200)), 50)
        held += low <= np.log(2) <= high
    assert 0.93 <= held / 400 <= 0.985
