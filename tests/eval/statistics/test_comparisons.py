from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.statistics import comparisons
from eval.statistics.comparisons import (
    Difference,
    holm,
    independent_difference,
    judge,
    paired_difference,
    sign_flip_test,
)


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(comparisons)
    assert failed == 0
    assert tried >= 5


def test_one_lost_query_of_a_hundred_is_no_evidence() -> None:
    before = np.ones(100)
    after = before.copy()
    after[7] = 0
    found = paired_difference(before, after, None, seed=0)
    assert found.value == pytest.approx(-0.01)
    assert found.p_worse == 0.5
    assert judge(found) == "undecided"


def test_six_lost_and_none_won_is_evidence_five_is_not() -> None:
    """The sign test: 1/2^6 is below 0.025, 1/2^5 is not."""
    for lost, verdict in ((5, "undecided"), (6, "worse")):
        after = np.ones(40)
        after[:lost] = 0
        found = paired_difference(np.ones(40), after, None, seed=0)
        assert found.p_worse == pytest.approx(0.5**lost)
        assert judge(found) == verdict


def test_equal_runs_tell_how_equal_they_are() -> None:
    values = np.random.default_rng(0).random(200)
    found = paired_difference(values, values, None, seed=0)
    assert (found.value, found.p_worse) == (0, 1)
    low, high = found.ci95 or (0, 0)
    assert -0.02 < low < 0 < high < 0.02
    assert judge(found, max_drop=0.02) == "not worse"
    few = paired_difference(values[:20], values[:20], None, seed=0)
    assert judge(few, max_drop=0.02) == "undecided"
    assert few.detectable is not None
    assert found.detectable is not None
    assert few.detectable > 5 * found.detectable


def test_pairing_detects_differences_that_separate_intervals_do_not() -> None:
    generator = np.random.default_rng(0)
    before = generator.uniform(0.1, 0.9, 200)
    after = before + generator.normal(0.02, 0.05, 200)
    found = paired_difference(before, after, None, seed=0)
    assert found.ci95
    assert found.ci95[0] > 0
    assert judge(found) == "not worse"


def test_queries_of_one_unit_count_as_one() -> None:
    """A drop in a single class of twenty queries is one observation."""
    before = np.ones(200)
    after = before.copy()
    after[:20] = 0
    units = np.repeat(np.arange(10), 20)
    assert paired_difference(before, after, None, seed=0).p_worse < 0.001
    assert paired_difference(before, after, units, seed=0).p_worse == 0.5


def test_the_drawn_flips_agree_with_all_flips(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(1).normal(-0.3, 1, 14)
    exact = sign_flip_test(sums, seed=0)
    monkeypatch.setattr(comparisons, "EXACT_UNITS", 2)
    assert sign_flip_test(sums, seed=0) == pytest.approx(exact, abs=0.015)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20), st.data())
def test_the_order_of_the_pairs_changes_nothing(
    pairs: list[tuple[float, float]], data: st.DataObject
) -> None:
    (a, b), (c, d) = np.array(pairs).T, np.array(data.draw(st.permutations(pairs))).T
    assert paired_difference(a, b, None, seed=0) == paired_difference(c, d, None, seed=0)


def test_pairs_of_different_lengths_are_rejected() -> None:
    with pytest.raises(ValueError, match="1 queries and run b 2"):
        paired_difference([1.0], [1.0, 0.5], None, seed=0)


def test_a_single_unit_is_undecided() -> None:
    found = paired_difference([1.0, 1.0], [0.0, 0.0], ["a", "a"], seed=0)
    assert (found.ci95, found.detectable, judge(found)) == (None, None, "undecided")


SURE = Difference(-0.05, (-0.07, -0.03), 0.001, 100, 0.03)


@pytest.mark.parametrize(
    ("difference", "max_drop", "verdict"),
    [
        (SURE, 0.0, "worse"),
        (SURE, 0.02, "worse"),
        (SURE, 0.05, "undecided"),
        (SURE, 0.08, "not worse"),
        (replace(SURE, p_worse=0.04), 0.0, "undecided"),  # after a correction
        (replace(SURE, ci95=(0.0, 0.03)), 0.0, "not worse"),
        (replace(SURE, ci95=(-0.01, 0.03)), 0.0, "undecided"),
    ],
)
def test_the_margin_is_compared_with_the_end_of_the_interval(
    difference: Difference, max_drop: float, verdict: str
) -> None:
    assert judge(difference, max_drop) == verdict


def test_independent_figures_differ_as_their_intervals_say() -> None:
    close = independent_difference((10.0, (9.0, 11.0)), (11.0, (10.0, 12.0)))
    assert close.ci95 == pytest.approx((1 - 2**0.5, 1 + 2**0.5))
    assert close.p_worse == 1
    far = independent_difference((10.0, (9.0, 11.0)), (7.0, (6.0, 8.0)))
    assert judge(far) == "worse"
    assert independent_difference((10.0, None), (1.0, (0.5, 1.5))).ci95 is None


def test_holms_correction_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
