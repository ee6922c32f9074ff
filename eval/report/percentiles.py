"""Percentiles as text, with their intervals where they have one."""

from __future__ import annotations


def interval_text(ci95: tuple[float, float] | None, n: int, digits: int = 1) -> str:
    """`[11.0, 14.2]`, or why there is none. n: the number of values."""
    if ci95 is None:
        return f"(no interval: n = {n:,})"
    return f"[{ci95[0]:.{digits}f}, {ci95[1]:.{digits}f}]"


def percentile_text(
    value: float, ci95: tuple[float, float] | None, n: int, digits: int = 1, unit: str = ""
) -> str:
    """A percentile of n values: `12.3 [11.0, 14.2]`, or with few values without an interval.

    >>> percentile_text(12.3, None, 200, unit=" ms")
    '12.3 ms (no interval: n = 200)'
    """
    return f"{value:.{digits}f}{unit} {interval_text(ci95, n, digits)}"
