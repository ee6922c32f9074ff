"""Sums by sampling unit: queries of one class, group or landmark are not independent.

Intervals and tests therefore draw units, not queries. The mean over queries is then a ratio, the
sum of the units' sums over the sum of their sizes; its variance is that of the units' residuals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class UnitSums:
    """One column of values, summed by unit."""

    sums: Values
    """(units,), in the order of the units' names; of independent queries, ascending."""
    sizes: Values
    """(units,): queries of each."""

    @property
    def count(self) -> int:
        """Number of units."""
        return self.sums.size

    @property
    def mean(self) -> float:
        """Of the queries."""
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def residuals(self) -> Values:
        """(units,): each unit's sum less what it would be at the mean; they add up to 0."""
        return self.sums - self.mean * self.sizes

    @property
    def variance(self) -> float:
        """Of the mean, estimated by linearising the ratio; 0 for a single unit.

        Source: Cochran, Sampling Techniques, 3rd edition, 1977, equation 6.13.
        """
        if self.count < 2:
            return 0.0
        scale = self.count / (self.count - 1) / self.sizes.sum() ** 2
        return float(scale * (self.residuals**2).sum())


def sum_by_unit(values: ArrayLike, units: ArrayLike | None, name: str = "The metric") -> UnitSums:
    """values: (n,), one per query. units: (n,), the unit of each; None: every query is its own.

    The order of the queries changes nothing, not even the last bit. Raises ValueError for no
    values, NaN, and another number of units than values.
    """
    column = check_column(values, name)
    if units is None:
        return UnitSums(np.sort(column), np.ones(column.size))
    names, index = unit_index(units, column.size)
    order = np.lexsort((column, index))
    starts = np.searchsorted(index[order], np.arange(names.size))
    sums = np.add.reduceat(column[order], starts)
    return UnitSums(sums, np.bincount(index).astype(np.float64))


def unit_index(units: ArrayLike, count: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The units' names, sorted, and the index of each query's unit in them: (units,), (n,)."""
    found = np.asarray(units)
    if found.shape != (count,):
        raise ValueError(f"There are {found.size} units or classes for {count} queries.")
    names, index = np.unique(found, return_inverse=True)
    return names, index


def class_means(values: ArrayLike, classes: ArrayLike) -> tuple[NDArray[Any], Values]:
    """The classes, sorted, and the mean of each. values, classes: (n,), one per query.

    >>> class_means([1.0, 0.0, 0.0], ["cat", "cat", "dog"])
    (array(['cat', 'dog'], dtype='<U3'), array([0.5, 0. ]))
    """
    found = sum_by_unit(values, classes)
    return np.unique(np.asarray(classes)), found.sums / found.sizes


def check_column(values: ArrayLike, name: str) -> Values:
    """(n,) float64. Raises ValueError for another shape, no values, and NaN."""
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not column.size:
        raise ValueError(f"{name} needs one value per query; its shape is {column.shape}.")
    if not np.isfinite(column).all():
        raise ValueError(
            f"{name} is not finite for a query; exclude queries without a relevant image."
        )
    return column
