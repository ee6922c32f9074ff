"""How often the intervals hold the truth, and how often equal runs are called worse: by simulation.

Each design draws datasets whose truth is known. Queries of one unit are alike: each unit has a mean
of its own, drawn from a beta distribution, of which the intraclass correlation says how much of the
variance lies between units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri

from eval.statistics.comparisons import judge, paired_difference
from eval.statistics.intervals import mean_summary
from eval.statistics.percentiles import percentile_interval
from eval.statistics.units import Values

DRAWS = 2000
COVERAGE = (0.93, 0.97)
DISCRETE = (0.93, 0.985)
"""Of the share of 20 independent hits, which has 21 values."""
MAX_FALSE_ALARMS = 0.035
"""Where 0.025 is nominal."""
NOISE = 2.6
"""Standard errors that a share of DRAWS may lie outside by chance."""

Figure = Literal["coverage", "false alarms"]


@dataclass(frozen=True)
class Design:
    """How datasets are drawn."""

    values: Literal["hits", "precisions"]
    """hits: 0 or 1. precisions: average precisions, from 0 to 1."""
    units: int
    queries: int
    """Of a unit."""
    mean: float
    correlation: float
    """Between queries of one unit."""

    @property
    def text(self) -> str:
        """In one line."""
        each = "independent queries" if self.queries == 1 else f"units of {self.queries} queries"
        alike = f", correlation {self.correlation:g}" if self.queries > 1 else ""
        return f"{self.values}, {self.units} {each}{alike}, mean {self.mean:g}"


@dataclass(frozen=True)
class SimulationRow:
    """One line of the table."""

    what: str
    figure: Figure
    value: float
    drawn: int
    expected: tuple[float, float]
    held: bool
    """Whether the value is as expected, but for the noise of the simulation."""


DESIGNS = (
    *(Design("hits", units, 1, mean, 0.0) for units in (20, 100) for mean in (0.3, 0.6, 0.9)),
    *(Design("hits", units, 4, mean, 0.3) for units in (20, 100) for mean in (0.3, 0.6, 0.9)),
    Design("hits", 50, 20, 0.6, 0.5),
    Design("hits", 20, 1, 0.99, 0.0),
    *(Design("precisions", units, 1, mean, 0.0) for units in (20, 100) for mean in (0.3, 0.6)),
    *(Design("precisions", units, 4, mean, 0.3) for units in (20, 100) for mean in (0.3, 0.6)),
    Design("precisions", 50, 20, 0.6, 0.5),
)
PAIRED = (
    *(Design("hits", units, 1, 0.8, 0.0) for units in (20, 50, 200)),
    *(Design("hits", units, 4, 0.8, 0.3) for units in (20, 50)),
    *(Design("precisions", units, 4, 0.6, 0.3) for units in (20, 50)),
)
PERCENTILES = ((200, 50.0), (200, 90.0), (1000, 99.0))
"""Sample sizes and percentiles of latencies."""


def simulate(draws: int = DRAWS, seed: int = 0) -> Iterator[SimulationRow]:
    """The table, row by row; `draws` datasets for each design."""
    generator = np.random.default_rng(seed)
    for design in DESIGNS:
        yield _mean_row(design, draws, generator)
    for design in PAIRED:
        yield from _paired_rows(design, draws, generator)
    for size, percent in PERCENTILES:
        yield _percentile_row(size, percent, draws, generator)


def draw(design: Design, generator: np.random.Generator) -> Values:
    """One dataset, (units, queries)."""
    means = _unit_means(design, generator)
    return _draw_queries(design, means, generator)


def _unit_means(design: Design, generator: np.random.Generator) -> Values:
    """(units, 1): beta with the design's mean, and the variance that its correlation asks for."""
    shape = (design.units, 1)
    if design.correlation == 0:
        return np.full(shape, design.mean)
    concentration = (1 - design.correlation) / design.correlation
    return generator.beta(
        design.mean * concentration, (1 - design.mean) * concentration, size=shape
    )


def _draw_queries(design: Design, means: Values, generator: np.random.Generator) -> Values:
    shape = (design.units, design.queries)
    if design.values == "hits":
        return (generator.random(shape) < means).astype(np.float64)
    # Average precisions pile up at both ends: beta with the concentration 2.
    tiny = 1e-6
    means = np.clip(means, tiny, 1 - tiny)
    return generator.beta(2 * means, 2 * (1 - means), size=shape)


def _mean_row(design: Design, draws: int, generator: np.random.Generator) -> SimulationRow:
    units = np.repeat(np.arange(design.units), design.queries)

    def holds() -> bool:
        values = draw(design, generator).ravel()
        ends = mean_summary(values, units, seed=int(generator.integers(2**31)))["ci95"]
        return ends is not None and ends[0] <= design.mean <= ends[1]

    is_discrete = design.values == "hits" and units.size <= 20
    expected = DISCRETE if is_discrete else COVERAGE
    return _row(f"mean of {design.text}", "coverage", holds, draws, expected)


def _paired_rows(design: Design, draws: int, generator: np.random.Generator) -> list[SimulationRow]:
    """Two runs whose queries share their unit's mean: neither is better."""
    units = np.repeat(np.arange(design.units), design.queries)
    found = []
    for _ in range(draws):
        means = _unit_means(design, generator)
        # Equal but for a quarter of the queries, as two settings of one network are.
        a, b = (_draw_queries(design, means, generator) for _ in "ab")
        b = np.where(generator.random(a.shape) < 0.25, b, a)
        seed = int(generator.integers(2**31))
        found.append(paired_difference(a.ravel(), b.ravel(), units, seed))
    held = iter([each.ci95 is not None and each.ci95[0] <= 0 <= each.ci95[1] for each in found])
    alarms = iter([judge(each) == "worse" for each in found])
    what = f"difference of two equal runs, {design.text}"
    return [
        _row(what, "coverage", lambda: next(held), draws, (COVERAGE[0], 1.0)),
        _row(what, "false alarms", lambda: next(alarms), draws, (0.0, MAX_FALSE_ALARMS)),
    ]


def _percentile_row(
    size: int, percent: float, draws: int, generator: np.random.Generator
) -> SimulationRow:
    """Latencies of a log-normal distribution, whose percentiles are known."""
    truth = float(np.exp(ndtri(percent / 100)))

    def holds() -> bool:
        ends = percentile_interval(np.sort(generator.lognormal(size=size)), percent)
        return ends is not None and ends[0] <= truth <= ends[1]

    what = f"p{percent:g} of {size} latencies"
    return _row(what, "coverage", holds, draws, (COVERAGE[0], 0.98))


def _row(
    what: str,
    figure: Figure,
    happens: Callable[[], bool],
    draws: int,
    expected: tuple[float, float],
) -> SimulationRow:
    value = float(np.mean([happens() for _ in range(draws)]))
    low, high = (_with_noise(end, side, draws) for end, side in zip(expected, (-1, 1), strict=True))
    return SimulationRow(what, figure, value, draws, expected, low <= value <= high)


def _with_noise(end: float, side: int, draws: int) -> float:
    return end + side * NOISE * float(np.sqrt(end * (1 - end) / draws))
