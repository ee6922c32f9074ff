"""Exact confidence limits of a share."""

from __future__ import annotations

import pytest
from scipy.stats import beta

from bogv.calibration.binomial import interval, lower_limit, upper_limit


@pytest.mark.parametrize(("count", "trials"), [(0, 1), (0, 5000), (3, 20), (19, 20), (2500, 5000)])
def test_limits_are_quantiles_of_the_beta_distribution(count: int, trials: int) -> None:
    assert upper_limit(count, trials) == pytest.approx(beta.ppf(0.95, count + 1, trials - count))
    expected = beta.ppf(0.05, count, trials - count + 1) if count else 0
    assert lower_limit(count, trials) == pytest.approx(expected, abs=1e-12)


def test_without_a_trial_nothing_is_known() -> None:
    assert (lower_limit(0, 0), upper_limit(0, 0)) == (0, 1)
    assert interval(0, 0) == (0, 1)


def test_the_interval_is_two_sided() -> None:
    low, high = interval(5, 50)
    assert low == pytest.approx(beta.ppf(0.025, 5, 46))
    assert high == pytest.approx(beta.ppf(0.975, 6, 45))
    assert interval(50, 50)[1] == 1
