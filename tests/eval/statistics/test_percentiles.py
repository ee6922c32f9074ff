from __future__ import annotations

import doctest

import numpy as np
import pytest

from eval.statistics import percentiles
from eval.statistics.percentiles import percentile, percentile_interval


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(percentiles)
    assert failed == 0
    assert tried >= 3


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


@pytest.mark.parametrize(
    ("size", "percent", "has_interval"),
    [
        *((10, 99, False), (1, 50, False), (5, 50, False), (6, 50, True), (200, 99.9, False)),
        *((367, 99, False), (368, 99, True), (3687, 99.9, False), (3688, 99.9, True)),
    ],
)
def test_a_percentile_near_an_end_needs_many_values(
    size: int, percent: float, has_interval: bool
) -> None:
    """0.99^n is at most 2.5% from n = 368 on."""
    assert (percentile_interval(np.arange(size), percent) is not None) == has_interval


def test_the_interval_has_its_nominal_coverage_of_the_median() -> None:
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        ends = percentile_interval(np.sort(generator.exponential(size=200)), 50)
        assert ends
        held += ends[0] <= np.log(2) <= ends[1]
    assert 0.93 <= held / 400 <= 0.985
