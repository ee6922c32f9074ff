"""Means over queries with bootstrap intervals, the same for the same seed; percentiles.

The values are sorted before sampling, so the order of the queries has no influence. Limits of the
bootstrap: with few queries its intervals are too narrow, and if all queries have the same value,
the interval is that value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]
Counts = NDArray[np.intp]

CELLS = 1_000_000
"""Numbers in memory at once while resampling, three arrays of 8 bytes each. Affects no result."""


class Summary(TypedDict):
    """A mean as `run.json` holds it."""

    value: float
    ci95: list[float]
    """Lower and upper end of the bootstrap 95% interval."""


@dataclass(frozen=True)
class Difference:
    """The result of a paired comparison of two runs."""

    value: float
    """Mean of b - a over the queries: above 0, b is better."""
    ci95: tuple[float, float]
    below_zero: float
    """Share of the resamples whose mean is below 0, where b is worse."""


def bootstrap_interval(values: ArrayLike, seed: int, resamples: int = 1000) -> tuple[float, float]:
    """The percentile bootstrap's 95% interval of the mean. values: (n,), one per query, n >= 1.

    Draws n of the n queries with replacement and takes their mean, `resamples` times, and returns
    the 2.5th and 97.5th percentiles. Raises ValueError for no values, and for NaN.
    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    >>> bootstrap_interval([1.0, 1.0, 1.0], seed=0)
    (1.0, 1.0)
    """
    column = np.sort(_check_column(values, "The metric"))
    return _interval(_resampled_means(column[None], _sizes(column), seed, resamples)[0])


def summarise(
    table: Mapping[str, ArrayLike], classes: ArrayLike | None, seed: int, resamples: int = 1000
) -> dict[str, Summary]:
    """The mean over queries of each metric and, where there are classes, over classes.

    table: name -> (n,), one value per query. classes: (n,), each query's class, or None.
    `<name>` is the micro mean, over queries. `<name>_per_class` is the macro mean: the mean of the
    classes' means; its interval resamples within each class, so every class stays represented. A
    class of one query has no variance: many such classes make the interval too narrow.

    Raises ValueError for columns of different lengths, no queries, and NaN.

    >>> found = summarise({"map": [1.0, 1.0, 0.0]}, classes=["cat", "cat", "dog"], seed=0)
    >>> round(found["map"]["value"], 6), found["map_per_class"]["value"]
    (0.666667, 0.5)
    """
    if not table:
        return {}
    columns = _columns(table)
    ordered = np.sort(columns, axis=1)
    summary = _summaries(table, ordered, _sizes(ordered[0]), seed, resamples)
    if classes is None:
        return summary
    _, strata, sizes = _strata(classes, columns.shape[1])
    ordered = np.stack([column[np.lexsort((column, strata))] for column in columns])
    names = [f"{name}_per_class" for name in table]
    return summary | _summaries(names, ordered, sizes, seed, resamples)


def class_means(values: ArrayLike, classes: ArrayLike) -> tuple[NDArray[Any], Values]:
    """The classes, sorted, and the mean of each. values, classes: (n,), one per query.

    >>> class_means([1.0, 0.0, 0.0], ["cat", "cat", "dog"])
    (array(['cat', 'dog'], dtype='<U3'), array([0.5, 0. ]))
    """
    column = _check_column(values, "The metric")
    labels, strata, sizes = _strata(classes, column.size)
    return labels, np.bincount(strata, weights=column) / sizes


def paired_bootstrap(a: ArrayLike, b: ArrayLike, seed: int, resamples: int = 10_000) -> Difference:
    """Is b better than a? a, b: (n,), the same n queries in the same order.

    Both runs have the same queries, so the differences per query are resampled: queries that are
    hard for both don't widen the interval. Raises ValueError for different lengths, no queries,
    NaN.
    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993; Sakai, Evaluating evaluation
    metrics based on the bootstrap, SIGIR 2006.

    >>> paired_bootstrap([0.0, 0.5, 1.0], [0.5, 1.0, 1.5], seed=0)
    Difference(value=0.5, ci95=(0.5, 0.5), below_zero=0.0)
    """
    before, after = _check_column(a, "Run a"), _check_column(b, "Run b")
    if before.size != after.size:
        raise ValueError(f"Run a has {before.size} queries and run b {after.size}; pair them.")
    change = np.sort(after - before)
    means = _resampled_means(change[None], _sizes(change), seed, resamples)[0]
    return Difference(float(change.mean()), _interval(means), float((means < 0).mean()))


def _summaries(
    names: Iterable[str], columns: Values, sizes: Counts, seed: int, resamples: int
) -> dict[str, Summary]:
    values = _mean_of_means(columns, sizes)
    means = _resampled_means(columns, sizes, seed, resamples)
    return {
        name: Summary(value=float(value), ci95=list(_interval(drawn)))
        for name, value, drawn in zip(names, values, means, strict=True)
    }


def _resampled_means(columns: Values, sizes: Counts, seed: int, resamples: int) -> Values:
    """(m, n) -> (m, resamples). The columns are sorted by class; each class is resampled by itself.

    All columns share the draws, which take longer than the means.
    """
    if resamples < 1:
        raise ValueError(f"There must be at least one resample, not {resamples}.")
    count, size = columns.shape
    ends = np.cumsum(sizes)
    low, high = np.repeat(ends - sizes, sizes), np.repeat(ends, sizes)
    generator = np.random.default_rng(seed)
    means = np.empty((count, resamples))
    rows = max(1, CELLS // size)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        drawn = generator.integers(low, high, size=(stop - start, size))
        for column, out in zip(columns, means, strict=True):
            out[start:stop] = _mean_of_means(column[drawn], sizes)
    return means


def _mean_of_means(rows: Values, sizes: Counts) -> Values:
    """(..., n) -> (...): the mean of the classes' means; of one class, the plain mean."""
    sums = np.add.reduceat(rows, np.cumsum(sizes) - sizes, axis=-1)
    means: Values = (sums / sizes).mean(axis=-1)
    return means


def _sizes(column: Values) -> Counts:
    """All queries as one class."""
    return np.array([column.size])


def _strata(classes: ArrayLike, queries: int) -> tuple[NDArray[Any], Counts, Counts]:
    """The classes, the index of each query's class, and how many queries each class has."""
    found = np.asarray(classes)
    if found.shape != (queries,):
        raise ValueError(f"There are {found.size} classes for {queries} queries.")
    return np.unique(found, return_inverse=True, return_counts=True)


def _interval(means: Values) -> tuple[float, float]:
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _columns(table: Mapping[str, ArrayLike]) -> Values:
    columns = [_check_column(values, name) for name, values in table.items()]
    if len({column.size for column in columns}) > 1:
        sizes = ", ".join(
            f"{name} {column.size}" for name, column in zip(table, columns, strict=True)
        )
        raise ValueError(f"Every metric must have a value for every query; the sizes are {sizes}.")
    return np.stack(columns)


def _check_column(values: ArrayLike, name: str) -> Values:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not column.size:
        raise ValueError(f"{name} needs one value per query; its shape is {column.shape}.")
    if not np.isfinite(column).all():
        raise ValueError(
            f"{name} is not finite for a query; exclude queries without a relevant image."
        )
    return column


def percentile(ordered: ArrayLike, percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `percent` % do not exceed.

    ordered: (n,), ascending, n >= 1. Always one of the values; with fewer than 1000, the 99.9th
    is the largest. Source: Hyndman, Fan, Sample Quantiles in Statistical Packages, The
    American Statistician 50 (1996), definition 1.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 50), percentile([10.0, 20.0, 30.0, 40.0], 99)
    (20.0, 40.0)
    """
    values = np.asarray(ordered, np.float64)
    return float(values[_rank(len(values), percent) - 1])


def percentile_interval(ordered: ArrayLike, percent: float) -> tuple[float, float]:
    """A distribution-free 95% interval of a percentile, between two of the values.

    The number of values below the true percentile is binomial (n, percent / 100); the interval
    is between the values at its 2.5% and 97.5% points. It assumes independent values, which
    latencies of queued requests aren't: the true interval is wider.
    Source: Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2.

    >>> percentile_interval(list(range(1, 101)), 50)
    (40.0, 61.0)
    """
    values = np.asarray(ordered, np.float64)
    low, high = _binomial_points(len(values), percent / 100)
    return float(values[max(low, 1) - 1]), float(values[min(high + 1, len(values)) - 1])


def _rank(size: int, percent: float) -> int:
    """From 1. Rounded first: 99.9 / 100 * 1000 is 999.0000000000001 in floats."""
    return max(1, int(np.ceil(round(percent / 100 * size, 9))))


def _binomial_points(size: int, share: float) -> tuple[int, int]:
    """The smallest counts whose cumulative probability reaches 2.5% and 97.5%."""
    counts: NDArray[Any] = np.arange(size + 1)
    # log of the binomial coefficients, from cumulative sums of logs: n! overflows.
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, size + 1)))])
    coefficients = factorials[size] - factorials[counts] - factorials[size - counts]
    chances = np.exp(coefficients + counts * np.log(share) + (size - counts) * np.log1p(-share))
    cumulative = np.cumsum(chances)
    low, high = np.searchsorted(cumulative, [0.025, 0.975])
    return int(low), int(high)
