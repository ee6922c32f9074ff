"""run.json of `speed`, and when a line of it reaches its goal."""

from __future__ import annotations

from typing import Literal

from eval.report.results import Result, ResultPart, WeightsPart, short_hash


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


class Line(ResultPart):
    """Something that was measured, beside what it is compared with. All figures are times, or
    depend on times or on memory, which differ each time."""

    what: str
    unit: str
    """Of both figures; empty where they have none."""
    against: str
    """The name of the baseline; empty if there is none."""
    baseline: float | None
    bogv: float | None
    """None if this system can't measure it."""
    ratio: float | None
    """How many times as fast bogv is: the quotient of rates, or the inverse of that of times."""
    goal: Goal | None
    """None without a goal, or if the measurement is too small for it."""
    reached: bool | None


def make_line(
    what: str,
    unit: str,
    bogv: float | None,
    *,
    baseline: float | None = None,
    against: str = "",
    less_is_better: bool = False,
    goal: Goal | None = None,
) -> Line:
    """A line, its ratio worked out, and judged.

    >>> line("searches", "ms", 10, baseline=50, less_is_better=True).ratio
    5.0
    """
    ratio = None
    if baseline and bogv:
        ratio = baseline / bogv if less_is_better else bogv / baseline
    value = ratio if goal is not None and goal.of == "ratio" else bogv
    return Line(
        what=what,
        unit=unit,
        against=against,
        baseline=_rounded(baseline),
        bogv=_rounded(bogv),
        ratio=_rounded(ratio),
        goal=goal,
        # Judged before rounding: 6.9999 times is not 7 times.
        reached=None if goal is None or value is None else goal.reached(value),
    )


def _rounded(value: float | None) -> float | None:
    """Round to five significant digits, more than the measurement's accuracy."""
    return None if value is None else float(f"{value:.5g}")


def bound(stages_ms: dict[str, float], cores: int) -> float:
    """Images a second that no order of these stages can exceed: cores / their sum.

    stages_ms: processor time that an image takes in each, in ms.

    >>> bound({"decode": 6.0, "embed": 14.0}, cores=2)
    100.0
    """
    return 1000 * cores / sum(stages_ms.values())


class Stages(ResultPart):
    """The stages of adding images of one size, each measured alone on one core. Times."""

    what: str
    images: int
    cpu_ms: dict[str, float]
    """Processor time of an image, by stage."""
    bound: float
    """Images a second on all cores, if each were as fast as one alone."""
    busy_bound: float | None = None
    """The same from what the stages take while every core is at work on them: cores share caches,
    memory, power, and often enough the core. None where it was not measured."""


class Speed(Result):
    """What `speed` measures. Times, and what depends on times or memory: metrics (but for
    ann_recall), seconds, others, stages, lines.

    metrics: `search_p50_ms@c8` is the median latency with eight clients, with the interval of
    order statistics (`eval.statistics.percentiles`); `ann_recall@10` is of bogv's index, whose
    graph comes out a little different each time.
    """

    kind: Literal["speed"] = "speed"
    weights: WeightsPart
    engine: str
    precision: str
    """The option's value."""
    images: str
    """A folder's name, or bogv's samples: what the inputs were made from."""
    large: int
    """Images of 12 megapixels; those of 640 × 480 are `n`."""
    gallery: int
    searches: int
    """For each number of clients."""
    soak: int
    cores: int
    others: float | None
    """Share of the CPU time used meanwhile by the host and other processes. Far above 0, the times
    are unreliable. None without /proc."""
    stages: list[Stages]
    lines: list[Line]

    @property
    def folder(self) -> str:
        identity = [self.weights.fingerprint, self.engine, self.precision, self.images, self.n]
        identity += [self.large, self.gallery, self.searches, self.soak, self.seed]
        return f"speed-{self.weights.name}-{self.precision}-{self.n}-{short_hash(identity)}"

    @property
    def labels(self) -> dict[str, str | int]:
        return {**super().labels, "engine": self.engine, "gallery": self.gallery}
