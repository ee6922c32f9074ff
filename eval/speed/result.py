"""run.json of `speed`, and when a line of it reaches its goal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from eval.report.background import is_busy, largest
from eval.report.results import Result, ResultPart, WeightsPart, short_hash

MOST_FILL = 0.1
"""Share of the time that filling and draining may take where a line is judged."""


@dataclass(frozen=True)
class Sample:
    """A figure of one round."""

    value: float
    others: float | None = None
    """Share of CPU time that other processes used meanwhile; None: not known, or no time."""


class Goal(ResultPart):
    """A goal of a line."""

    of: Literal["bogv", "ratio"]
    """The line's figure to which it applies."""
    at_least: float | None = None
    at_most: float | None = None

    def reached(self, value: float) -> bool:
        """Whether a figure reaches the goal."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    def distance(self, value: float) -> float:
        """How far a figure is from the goal's limit, the nearer one of two."""
        limits = [limit for limit in (self.at_least, self.at_most) if limit is not None]
        return min(abs(value - limit) for limit in limits)


class Line(ResultPart):
    """Something that was measured, beside what it is compared with. All figures are times, or
    depend on times or on memory, which differ each time."""

    what: str
    unit: str
    """Of both figures; empty where they have none."""
    against: str
    """The name of the baseline; empty if there is none."""
    baseline: float | None
    """Median of the rounds."""
    bogv: float | None
    """Median of the rounds. None if this system can't measure it."""
    ratio: float | None
    """How many times as fast bogv is: the quotient of rates, or the inverse of that of times.
    Median of the rounds' ratios."""
    rounds: int
    """How often both were measured, in turns."""
    spread: tuple[float, float] | None
    """The smallest and the largest of the rounds' ratios; without a baseline, and where the goal is
    of bogv's figure, of that. None if it was measured once."""
    others: float | None
    """Largest share of the machine's CPU time that other processes used in one of the measurements.
    None if it isn't known, and where the figure doesn't depend on time."""
    goal: Goal | None
    """None without a goal, or if the measurement is too small for it."""
    reached: bool | None
    """None without a goal, and where it was not judged."""
    unjudged: str | None
    """Why there is no verdict on the goal."""


def make_line(
    what: str,
    unit: str,
    bogv: Sequence[Sample],
    *,
    baseline: Sequence[Sample] = (),
    against: str = "",
    less_is_better: bool = False,
    goal: Goal | None = None,
    fill: float | None = None,
) -> Line:
    """A line, its ratio worked out, and judged.

    bogv, baseline: of each round; none where this system can't measure it. fill: the share of the
    time that filling and draining took.

    >>> make_line("searches", "ms", [Sample(10)], baseline=[Sample(50)], less_is_better=True).ratio
    5.0
    """
    own, other = ([sample.value for sample in side] for side in (bogv, baseline))
    quotients = [b / a for a, b in zip(own, other, strict=True)] if other else []
    ratios = quotients if less_is_better else [1 / each for each in quotients]
    judged = ratios if ratios and (goal is None or goal.of == "ratio") else own
    others = largest(sample.others for sample in (*bogv, *baseline))
    doubt = None if goal is None else _doubt(goal, judged, others, fill)
    # Judged before rounding: 6.9999 times is not 7 times.
    reached = None if goal is None or doubt else goal.reached(statistics.median(judged))
    return Line(
        what=what,
        unit=unit,
        against=against,
        baseline=_median(other),
        bogv=_median(own),
        ratio=_median(ratios),
        rounds=len(own),
        spread=(_rounded(min(judged)), _rounded(max(judged))) if len(judged) > 1 else None,
        others=others,
        goal=goal,
        reached=reached,
        unjudged=doubt,
    )


def _doubt(
    goal: Goal, judged: Sequence[float], others: float | None, fill: float | None
) -> str | None:
    """Why there can be no verdict; None if there can be one."""
    if not judged:
        return "this system can't measure it"
    if others is not None and is_busy(others):
        return f"other processes used {others:.0%} of the CPU"
    if fill is not None and fill > MOST_FILL:
        return f"filling and draining took {fill:.0%} of the time: use more images"
    spread, distance = max(judged) - min(judged), goal.distance(statistics.median(judged))
    if spread > distance:
        return f"the rounds differ by {spread:.3g}, and the goal is {distance:.3g} away"
    return None


def _median(values: Sequence[float]) -> float | None:
    return _rounded(statistics.median(values)) if values else None


def _rounded(value: float) -> float:
    """Round to five significant digits, more than the measurement's accuracy."""
    return float(f"{value:.5g}")


def bound(stages_ms: dict[str, float], cores: int) -> float:
    """Images a second that no order of these stages can exceed: cores / their sum.

    stages_ms: processor time that an image takes in each, in ms.

    >>> bound({"decode": 6.0, "embed": 14.0}, cores=2)
    100.0
    """
    return 1000 * cores / sum(stages_ms.values())


class Stages(ResultPart):
    """The stages of adding images of one size, each measured alone on one core, by one thread:
    waiting threads that don't sleep would count. Times; medians of the rounds."""

    what: str
    images: int
    cpu_ms: dict[str, float]
    """Processor time of an image, by stage."""
    bound: float
    """Images a second on all cores, if each were as fast as one alone."""
    busy_bound: float | None = None
    """The same from what the stages take while every core is at work on them: cores share caches,
    memory, power, and often enough the core. None where it was not measured."""


class BulkAdd(ResultPart):
    """Adding images of one size, decoded, embedded and written in batches: at the beginning and at
    the end not all of these work. Times."""

    what: str
    images: int
    batches: int
    rates: list[float]
    """Images a second, of each round."""
    fill_share: float
    """Share of the time that filling and draining took: 1 - the rate of all images / the rate after
    the first batch was written. Median of the rounds; 1 for a single batch."""


class PrecisionPart(ResultPart):
    """The network in one precision. Times, but for the cosines."""

    precision: str
    missing: str | None
    """Why it wasn't measured; then there are no figures."""
    engine: str | None = None
    rate: float | None = None
    """Images a second, embedded in bulk on all cores. Median of the rounds, as `single_ms`."""
    rates: tuple[float, float] | None = None
    """The slowest and the fastest round."""
    single_ms: float | None = None
    """A single image, median."""
    cosine_mean: float | None = None
    """Of an image's embeddings in this precision and in fp32."""
    cosine_min: float | None = None
    others: float | None = None
    """As `Line.others`."""


class Speed(Result):
    """What `speed` measures. Times, and what depends on times or memory: metrics (but for
    ann_recall), seconds, others, stages, adds, precisions (but for cosines), lines.

    metrics: `search_p50_ms@c8` is the median latency with eight clients, over all rounds, with the
    interval of order statistics (`eval.statistics.percentiles`), where it has one;
    `ann_recall@10` is of bogv's index, whose graph comes out a little different each time.
    """

    kind: Literal["speed"] = "speed"
    weights: WeightsPart
    engine: str
    precision: str
    """Of all but `precisions`: the option's first value."""
    images: str
    """A folder's name, or bogv's samples: what the inputs were made from."""
    large: int
    """Images of 12 megapixels; those of 640 × 480 are `n`."""
    gallery: int
    searches: int
    """For each number of clients, in each round."""
    soak: int
    rounds: int
    cores: int
    others: float | None
    """Share of the CPU time used by the host and other processes, over the whole run. None without
    /proc."""
    stages: list[Stages]
    adds: list[BulkAdd]
    precisions: list[PrecisionPart]
    lines: list[Line]

    @property
    def folder(self) -> str:
        identity = [self.weights.fingerprint, self.engine, self.precision, self.images, self.n]
        identity += [self.large, self.gallery, self.searches, self.soak, self.seed]
        identity += [self.rounds, [each.precision for each in self.precisions]]
        return f"speed-{self.weights.name}-{self.precision}-{self.n}-{short_hash(identity)}"

    @property
    def labels(self) -> dict[str, str | int]:
        return {**super().labels, "engine": self.engine, "gallery": self.gallery}

    @property
    def unjudged(self) -> list[Line]:
        """The lines whose goal was not judged."""
        return [line for line in self.lines if line.unjudged is not None]
