from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.statistics import units
from eval.statistics.units import class_means, sum_by_unit


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(units)
    assert failed == 0
    assert tried >= 1


def test_queries_are_summed_by_unit() -> None:
    found = sum_by_unit([1.0, 0.0, 0.5, 1.0], ["b", "a", "b", "b"])
    assert found.sums.tolist() == [0.0, 2.5]
    assert found.sizes.tolist() == [1.0, 3.0]
    assert (found.count, found.mean) == (2, 0.625)
    assert found.residuals.sum() == pytest.approx(0)


def test_the_variance_of_independent_queries_is_the_textbooks() -> None:
    values = np.random.default_rng(0).random(50)
    assert sum_by_unit(values, None).variance == pytest.approx(values.var(ddof=1) / 50)


def test_the_variance_of_equal_units_is_that_of_their_means() -> None:
    values = np.random.default_rng(0).random((10, 5))
    found = sum_by_unit(values.ravel(), np.repeat(np.arange(10), 5))
    assert found.variance == pytest.approx(values.mean(axis=1).var(ddof=1) / 10)


def test_a_single_unit_has_no_variance() -> None:
    assert sum_by_unit([1.0, 0.0], ["a", "a"]).variance == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=30), st.data())
def test_the_order_of_the_queries_changes_nothing(
    queries: list[tuple[float, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(queries))

    def sums(rows: list[tuple[float, int]]) -> Any:
        found = sum_by_unit([value for value, _ in rows], [unit for _, unit in rows])
        return found.sums.tolist(), found.sizes.tolist()

    assert sums(shuffled) == sums(queries)


def test_a_class_has_its_mean() -> None:
    labels, means = class_means([1.0, 0.0, 0.5, 0.25], ["b", "b", "a", "a"])
    assert labels.tolist() == ["a", "b"]
    assert means.tolist() == [0.375, 0.5]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: sum_by_unit([], None), "one value per query"),
        (lambda: sum_by_unit([[1.0, 2.0]], None), "one value per query"),
        (lambda: sum_by_unit([1.0, float("nan")], None), "not finite"),
        (lambda: sum_by_unit([1.0], [1, 2]), "2 units or classes for 1 queries"),
        (lambda: class_means([1.0], [1, 2]), "2 units or classes for 1 queries"),
    ],
)
def test_columns_that_give_a_wrong_number_are_rejected(call: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()
