"""What a sweep says about the product's default: which settings win, and at what cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eval.statistics.comparisons import ALPHA, least_p
from eval.sweep.result import Cost, Row, Sweep

SAME = 0.05
"""Milliseconds that differ by no more than this share count as equal: timing is that noisy."""


def fronts(points: Sequence[tuple[float, float]]) -> set[int]:
    """The Pareto-optimal points of (quality, cost): no other is as good for less, or better for as
    much. Equal points are on the front together.

    >>> sorted(fronts([(0.5, 1.0), (0.6, 2.0), (0.5, 3.0), (0.6, 2.0)]))
    [0, 1, 3]
    """
    return {
        index
        for index, (quality, cost) in enumerate(points)
        if not any((q >= quality and c <= cost) and (q > quality or c < cost) for q, c in points)
    }


def costs_no_more(cost: Cost | None, baseline: Cost | None) -> bool:
    """Whether a setting takes no more milliseconds a search, and no more bytes a vector."""
    if cost is None or baseline is None:
        return False
    return (
        cost.ms <= (1 + SAME) * baseline.ms and cost.bytes_per_vector <= baseline.bytes_per_vector
    )


def costs_less(cost: Cost | None, baseline: Cost | None) -> bool:
    """Whether it takes no more of either and clearly less of one."""
    if cost is None or baseline is None or not costs_no_more(cost, baseline):
        return False
    return cost.ms < (1 - SAME) * baseline.ms or cost.bytes_per_vector < baseline.bytes_per_vector


def decide(sweep: Sweep) -> list[str]:
    """Sentences: the default, and what the sweep has against it."""
    own = sweep.baseline.is_own and sweep.baseline.precision == "auto"
    what = "bogv's default" if own else "not bogv's default"
    count = len(sweep.datasets)
    where = "each dataset" if count > 1 else sweep.datasets[0].id
    text = f"{sweep.baseline.embedding.text}, precision {sweep.baseline.precision}"
    winners = _everywhere(sweep, lambda row, _: row.verdict == "better")
    free = [name for name in winners if name in _everywhere(sweep, _is_free)]
    dear = [name for name in winners if name not in free]
    cheap = _everywhere(
        sweep,
        lambda row, base: row.verdict in {"better", "not worse"} and costs_less(row.cost, base),
    )
    return [
        f"Baseline: {sweep.baseline.title}, {what} ({text}; {sweep.engine}).",
        f"Significantly better on {where} at no more cost: {_listed(free)}.",
        f"Significantly better on {where} at more cost: {_listed(dear)}.",
        f"Shown to be at most {sweep.max_drop:g} worse on {where}, and cheaper: {_listed(cheap)}.",
        *_power_notes(sweep),
    ]


def _power_notes(sweep: Sweep) -> list[str]:
    """Datasets on which no verdict of `better` or `worse` is possible."""
    notes = []
    for dataset in sweep.datasets:
        units = next((row.mean.units for row in sweep.of(dataset.id) if row.mean), None) or 0
        if sweep.comparisons * least_p(units) > ALPHA:
            notes.append(
                f"CAUTION: on {dataset.id}, nothing could be shown to be better or worse: its"
                f" {units} units ({dataset.unit}) are too few for {sweep.comparisons} corrected"
                f" comparisons; at most {int(ALPHA / least_p(units))} would do."
            )
    return notes


def _is_free(row: Row, baseline: Cost | None) -> bool:
    return costs_no_more(row.cost, baseline)


def _everywhere(sweep: Sweep, holds: Callable[[Row, Cost | None], bool]) -> list[str]:
    """The settings for which it holds on all datasets; the baseline is none of them."""
    costs = {row.dataset: row.cost for row in sweep.rows if row.setting == sweep.baseline.title}
    names = [each.title for each in sweep.settings[1:]]
    return [
        name
        for name in names
        if all(holds(row, costs[row.dataset]) for row in sweep.rows if row.setting == name)
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
