"""Is b worse than a? Differences with intervals, tests and verdicts.

Paired: both runs answered the same queries, so that the differences are compared, query by query.
Independent: two figures with their intervals, such as percentiles of two latencies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from eval.statistics.intervals import CELLS
from eval.statistics.units import UnitSums, Values, check_column, sum_by_unit

Verdict = Literal["worse", "not worse", "undecided"]
ALPHA = 0.025
"""Of each one-sided test: half of what a 95% interval leaves out."""
POWER = 0.8
EXACT_UNITS = 14
"""Up to so many units that differ, all 2^14 signs are tried; of more, FLIPS are drawn."""
FLIPS = 10_000
FEW_UNITS = 10
"""With fewer units that differ, and fewer than half of them, the interval is the adjusted one."""


@dataclass(frozen=True)
class Difference:
    """b - a, with its 95% interval."""

    value: float
    ci95: tuple[float, float] | None
    """None for a single unit."""
    p_worse: float
    """Of the one-sided test that b is not below a."""
    units: int
    detectable: float | None
    """The least true difference that a test of this size finds in 80% of cases; None: unknown."""


def paired_difference(
    a: ArrayLike, b: ArrayLike, units: ArrayLike | None, seed: int, upper: float = 1.0
) -> Difference:
    """Is b better than a? a, b: (n,), the same n queries in the same order, from 0 to `upper`.

    units: (n,), the sampling unit of each query; None: queries are independent.
    The interval is Student's over units, with the cluster-robust variance of their mean; where few
    units differ, after adding half a query that b lost and half a query that it won. The test
    flips the signs of the units' differences: exact if a and b are exchangeable.
    Sources: Cameron, Miller, A practitioner's guide to cluster-robust inference, J. of Human
    Resources 50 (2015); Agresti, Min, Simple improved confidence intervals for comparing matched
    proportions, Statistics in Medicine 24 (2005); Smucker, Allan, Carterette, A comparison of
    statistical significance tests for information retrieval evaluation, CIKM 2007.

    Raises ValueError for different lengths, no queries, NaN.

    >>> found = paired_difference([1.0] * 20, [0.5] * 20, None, seed=0)
    >>> found.value, found.ci95, found.p_worse < 0.001
    (-0.5, (-0.5, -0.5), True)
    """
    before, after = check_column(a, "Run a"), check_column(b, "Run b")
    if before.size != after.size:
        raise ValueError(f"Run a has {before.size} queries and run b {after.size}; pair them.")
    sums = sum_by_unit(after - before, units)
    if sums.count < 2:
        return Difference(sums.mean, None, 1.0, sums.count, None)
    differing = int(np.count_nonzero(sums.sums))
    is_sparse = differing < min(FEW_UNITS, sums.count / 2)
    measured = _add_half_queries(sums, upper) if is_sparse else sums
    error = float(np.sqrt(measured.variance))
    half = float(stdtrit(sums.count - 1, 1 - ALPHA)) * error
    ends = (max(-upper, measured.mean - half), min(upper, measured.mean + half))
    detectable = float(stdtrit(sums.count - 1, 1 - ALPHA) + stdtrit(sums.count - 1, POWER)) * error
    return Difference(sums.mean, ends, sign_flip_test(sums.sums, seed), sums.count, detectable)


def _add_half_queries(sums: UnitSums, upper: float) -> UnitSums:
    return UnitSums(
        np.append(sums.sums, [upper / 2, -upper / 2]), np.append(sums.sizes, [0.5, 0.5])
    )


def sign_flip_test(sums: Values, seed: int) -> float:
    """The one-sided p-value of `the sum is not below 0`: the share of sign flips as low as it.

    sums: (units,). With up to EXACT_UNITS that are not 0, of all flips; of more, of FLIPS drawn
    ones and the observed one (Phipson, Smyth, Permutation p-values should never be zero, 2010).

    >>> sign_flip_test(np.array([-1.0, 0.0, 0.0]), seed=0)
    0.5
    """
    differing = sums[sums != 0]
    count = differing.size
    if not count:
        return 1.0
    if count <= EXACT_UNITS:
        signs = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        flipped = signs @ differing
    else:
        flipped = np.append(_draw_flips(differing, seed), differing.sum())
    tolerance = 1e-9 * float(np.abs(differing).sum())
    return float(np.mean(flipped <= differing.sum() + tolerance))


def least_p(units: int) -> float:
    """The smallest p-value that `sign_flip_test` can give, with so many units.

    >>> least_p(10) == 1 / 1024, least_p(100) == 1 / 10_001
    (True, True)
    """
    return 2.0**-units if units <= EXACT_UNITS else 1 / (FLIPS + 1)


def _draw_flips(sums: Values, seed: int) -> Values:
    """(FLIPS,): the sums after their signs were drawn at random."""
    generator = np.random.default_rng(seed)
    rows = max(1, CELLS // sums.size)
    parts = []
    for start in range(0, FLIPS, rows):
        drawn = generator.integers(0, 2, (min(rows, FLIPS - start), sums.size), np.int8)
        parts.append((1.0 - 2.0 * drawn) @ sums)
    return np.concatenate(parts)


def independent_difference(
    a: tuple[float, tuple[float, float] | None], b: tuple[float, tuple[float, float] | None]
) -> Difference:
    """The difference of two independent figures by their values and 95% intervals.

    The method of variance estimates recovery: each end's distance is the root of the sum of the
    squared distances of the two intervals' ends. Source: Zou, Donner, Construction of confidence
    limits about effect measures, Statistics in Medicine 27 (2008). None where a figure has no
    interval. The p-value is 0.025 or 1: whether the interval lies below 0.

    >>> found = independent_difference((10.0, (9.0, 11.0)), (13.0, (12.0, 14.0)))
    >>> found.value, tuple(round(end, 3) for end in found.ci95)
    (3.0, (1.586, 4.414))
    """
    (before, before_ends), (after, after_ends) = a, b
    value = after - before
    if before_ends is None or after_ends is None:
        return Difference(value, None, 1.0, 2, None)
    down = float(np.hypot(after - after_ends[0], before_ends[1] - before))
    up = float(np.hypot(after_ends[1] - after, before - before_ends[0]))
    ends = (value - down, value + up)
    detectable = max(down, up) * float(ndtri(1 - ALPHA) + ndtri(POWER)) / float(ndtri(1 - ALPHA))
    return Difference(value, ends, ALPHA if ends[1] < 0 else 1.0, 2, detectable)


def judge(difference: Difference, max_drop: float = 0.0, p_worse: float | None = None) -> Verdict:
    """Whether b is worse than a by more than `max_drop` (0 or more, in the metric's unit).

    worse: the interval lies below -max_drop and, with max_drop 0, so says the test.
    not worse: non-inferiority is shown, the interval's lower end is not below -max_drop.
    undecided: neither. p_worse: corrected for several comparisons.
    """
    if difference.ci95 is None:
        return "undecided"
    low, high = difference.ci95
    p = difference.p_worse if p_worse is None else p_worse
    if high < -max_drop and (max_drop > 0 or p <= ALPHA):
        return "worse"
    return "not worse" if low >= -max_drop else "undecided"


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number: any of them below a level is below it for all.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
    Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    count = len(p_values)
    corrected = [0.0] * count
    highest = 0.0
    for done, index in enumerate(sorted(range(count), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (count - done) * p_values[index]))
        corrected[index] = highest
    return corrected
