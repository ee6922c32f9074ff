"""Means over queries with 95% intervals that hold for few units, and near 0 and 1.

    values in {0, 1}   Wilson's score interval, with the effective number of queries
    other values       bootstrap-t over units
    all units alike    Wilson's score interval, with the number of units
    a single unit      none

`python -m eval selftest --statistics` measures how often these intervals hold the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from eval.statistics.units import UnitSums, Values, check_column, class_means, sum_by_unit

Method = Literal["Wilson", "bootstrap-t", "none"]
RESAMPLES = 1000
CELLS = 1_000_000
"""Numbers held at once while resampling, 8 bytes each. Changes no result."""
MAX_DEGENERATE = 0.05
"""Share of resamples without variance from which the bootstrap is not used."""


class Summary(TypedDict):
    """A mean as `run.json` holds it."""

    value: float
    ci95: tuple[float, float] | None
    units: int
    """Number of sampling units: the more, the better the interval holds; from 20 on."""
    method: Method


@dataclass(frozen=True)
class Interval:
    """A 95% interval of a mean."""

    ends: tuple[float, float] | None
    method: Method


def summarise(
    table: Mapping[str, ArrayLike],
    units: ArrayLike | None,
    classes: ArrayLike | None,
    seed: int,
    upper: Mapping[str, float] | None = None,
) -> dict[str, Summary]:
    """The mean over queries of each metric and, where there are classes, over classes.

    table: name -> (n,), one value per query. units: (n,), the sampling unit of each query; None:
    queries are independent. classes: (n,), each query's class, or None. upper: the metrics' upper
    bounds where these are not 1; the lower bound is 0.
    `<name>` is the micro mean, every query alike. `<name>_per_class` is the macro mean: the mean of
    the classes' means, every class alike, with the classes as units.

    Raises ValueError for columns of different lengths, no queries, and NaN.

    >>> found = summarise({"map": [1.0, 1.0, 0.0]}, None, ["cat", "cat", "dog"], seed=0)
    >>> round(found["map"]["value"], 6), found["map_per_class"]["value"]
    (0.666667, 0.5)
    """
    bounds = upper or {}
    columns = {name: check_column(values, name) for name, values in table.items()}
    if len({column.size for column in columns.values()}) > 1:
        sizes = ", ".join(f"{name} {column.size}" for name, column in columns.items())
        raise ValueError(f"Every metric has a value for every query; here are {sizes}.")
    summary = {
        name: mean_summary(column, units, seed, bounds.get(name, 1.0))
        for name, column in columns.items()
    }
    if classes is not None:
        summary |= {
            f"{name}_per_class": mean_summary(
                class_means(column, classes)[1], None, seed, bounds.get(name, 1.0)
            )
            for name, column in columns.items()
        }
    return summary


def mean_summary(
    values: ArrayLike, units: ArrayLike | None, seed: int, upper: float = 1.0
) -> Summary:
    """The mean of one column with its interval; arguments as of `summarise`."""
    sums = sum_by_unit(values, units)
    interval = mean_interval(sums, _is_binary(values, upper), seed, upper)
    return Summary(value=sums.mean, ci95=interval.ends, units=sums.count, method=interval.method)


def mean_interval(
    sums: UnitSums, is_binary: bool, seed: int, upper: float = 1.0, resamples: int = RESAMPLES
) -> Interval:
    """The interval of a mean of values from 0 to `upper`; is_binary: all are one of the two."""
    if sums.count < 2:
        return Interval(None, "none")
    ends = None if is_binary else _bootstrap_t(sums, seed, resamples)
    method: Method = "Wilson" if ends is None else "bootstrap-t"
    low, high = ends or wilson(sums, upper)
    return Interval((max(0.0, low), min(upper, high)), method)


def wilson(sums: UnitSums, upper: float = 1.0) -> tuple[float, float]:
    """Wilson's score interval of a share, with the effective number of queries.

    If queries are alike within units, n becomes p(1 - p)/variance, with the variance over units,
    but no more than there are queries; and the normal quantile becomes Student's with units - 1
    degrees of freedom. Without variance, n is the number of units.

    Sources: Wilson, Probable inference, JASA 22 (1927); Korn, Graubard, Confidence intervals for
    proportions with small expected number of positive counts estimated from survey data, Survey
    Methodology 24 (1998), for the effective size; Dean, Pagano, Evaluating confidence interval
    methods for binomial proportions in clustered surveys, JSSAM 3 (2015), for the two together.

    >>> low, high = wilson(sum_by_unit([1.0] * 20, None))
    >>> round(low, 3), high
    (0.839, 1.0)
    """
    share, variance = sums.mean / upper, sums.variance / upper**2
    spread = share * (1 - share)
    size, quantile = float(sums.count), float(ndtri(0.975))
    if sums.sizes.max() > 1:
        quantile = float(stdtrit(sums.count - 1, 0.975))
        if variance > 0:
            size = min(spread / variance, float(sums.sizes.sum()))
    square = quantile**2 / size
    middle = share + square / 2
    half = quantile * np.sqrt(max(spread, 0.0) / size + square / (4 * size))
    low, high = (middle - half) / (1 + square), (middle + half) / (1 + square)
    # At p = 1 the upper end is 1 in exact arithmetic.
    return float(low * upper) if share > 0 else 0.0, float(high * upper) if share < 1 else upper


def _bootstrap_t(sums: UnitSums, seed: int, resamples: int) -> tuple[float, float] | None:
    """The bootstrap-t interval over units: the studentised deviations of resampled means.

    Draws as many units as there are, with replacement, `resamples` times over. None where too many
    resamples have no variance. Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993,
    section 12.5.
    """
    if sums.variance <= _NO_VARIANCE:
        return None
    deviations = _studentised(sums, seed, resamples)
    usable = deviations[np.isfinite(deviations)]
    if usable.size < (1 - MAX_DEGENERATE) * resamples:
        return None
    low, high = np.quantile(usable, [0.025, 0.975])
    error = np.sqrt(sums.variance)
    return float(sums.mean - high * error), float(sums.mean - low * error)


_NO_VARIANCE = 1e-24
"""Of a mean: less is rounding."""


def _studentised(sums: UnitSums, seed: int, resamples: int) -> Values:
    """(resamples,): (resampled mean - mean) / its standard error; infinite without variance."""
    count, residuals, sizes = sums.count, sums.residuals, sums.sizes
    columns = np.stack([residuals, sizes, residuals**2, residuals * sizes, sizes**2], axis=1)
    generator = np.random.default_rng(seed)
    shares = np.full(count, 1 / count)
    found = np.empty(resamples)
    rows = max(1, CELLS // count)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        drawn = generator.multinomial(count, shares, size=stop - start).astype(np.float64)
        residual, size, squares, products, sizes2 = (drawn @ columns).T
        shift = residual / size  # of the mean
        spread = squares - 2 * shift * products + shift**2 * sizes2
        variance = count / (count - 1) * spread / size**2
        variance[variance <= _NO_VARIANCE] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            found[start:stop] = shift / np.sqrt(variance)
    return found


def _is_binary(values: ArrayLike, upper: float) -> bool:
    column = np.asarray(values, np.float64)
    return bool(np.isin(column, (0.0, upper)).all())
