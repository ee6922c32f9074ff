"""Percentiles, and their intervals by order statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr


def percentile(ordered: ArrayLike, percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `percent` % do not exceed.

    ordered: (n,), ascending, n >= 1. Always a value that was measured; of fewer than 1000, the
    99.9th is the largest. Source: Hyndman, Fan, Sample Quantiles in Statistical Packages, The
    American Statistician 50 (1996), definition 1.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 50), percentile([10.0, 20.0, 30.0, 40.0], 99)
    (20.0, 40.0)
    """
    values = np.asarray(ordered, np.float64)
    # Rounded first: 99.9 / 100 * 1000 is 999.0000000000001 in floats.
    rank = max(1, int(np.ceil(round(percent / 100 * len(values), 9))))
    return float(values[rank - 1])


def percentile_interval(ordered: ArrayLike, percent: float) -> tuple[float, float] | None:
    """A 95% interval of a percentile, free of any assumed distribution: two of the values.

    The number of values below the true percentile is binomial (n, percent / 100). The interval
    runs from the largest value that is above it with a probability of at most 2.5% to the smallest
    that is below it with at most 2.5%. None where the sample has no such value: the 99.9th
    percentile of 200 values lies above all of them with a probability of 82%.

    ordered: (n,), ascending. It assumes independent values, which neighbours in a queue are not:
    the real uncertainty is larger. Source: Conover, Practical Nonparametric Statistics, 3rd
    edition, section 3.2.

    >>> percentile_interval(list(range(1, 101)), 50)
    (40.0, 61.0)
    >>> percentile_interval(list(range(200)), 99.9) is None
    True
    """
    values = np.asarray(ordered, np.float64)
    size = len(values)
    at_most = bdtr(np.arange(size + 1), size, percent / 100)  # P(count <= 0), ..., P(count <= n)
    low = int(np.searchsorted(at_most, 0.025))  # P(count <= low - 1) < 2.5%
    high = int(np.searchsorted(at_most, 0.975)) + 1  # P(count <= high - 1) >= 97.5%
    if low < 1 or high > size:
        return None
    return float(values[low - 1]), float(values[high - 1])
