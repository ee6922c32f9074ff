"""What `judge score` leaves behind: judge.json."""

from __future__ import annotations

from typing import ClassVar, Literal

from eval.judging.pooling import PooledSetting
from eval.report.results import Result, ResultPart, weights_text


class ScoredSetting(ResultPart):
    """A setting, and what the judgements that are missing could change."""

    setting: PooledSetting
    bounds: dict[str, tuple[float, float]]
    """By metric: the mean can't lie outside, whatever the unjudged images will be judged."""
    unjudged: dict[str, int]
    """By k: images among the first k of the scored queries that are not judged."""


class SettingComparison(ResultPart):
    """Setting b compared with setting a, query by query."""

    a: str
    """Its label."""
    b: str
    metric: str
    difference: float
    """b - a"""
    ci95: tuple[float, float] | None
    p: float
    """Two-sided, corrected for the number of comparisons by Holm's method."""
    detectable: float | None
    """The least true difference that a test of this size finds in 80% of cases; None: unknown."""

    @property
    def verdict(self) -> Literal["better", "worse", "undecided"]:
        """Whether b is shown to be better or worse than a."""
        if self.ci95 is None or self.p > 0.05 or self.ci95[0] <= 0 <= self.ci95[1]:
            return "undecided"
        return "better" if self.difference > 0 else "worse"


class Judged(Result):
    """How well settings find what a person judged relevant. Metrics are `<metric>/<label>`."""

    FILE: ClassVar[str] = "judge.json"

    kind: Literal["judge"] = "judge"
    weights: None = None
    """Each setting has its own."""
    pool: str
    """The name of its folder."""
    dataset: str
    k: list[int]
    depth: int
    queries: int
    """In the pool; `n` of them have a judgement and are scored."""
    pairs: int
    """Queries and images to judge, in the whole pool."""
    grades: dict[str, int]
    """How many pairs were judged relevant, partly, not."""
    foreign: int
    """Judgements of pairs that the pool doesn't have; they are left out."""
    without_relevant: int
    """Scored queries for which nothing was judged relevant or partly so: they count 0."""
    settings: list[ScoredSetting]
    comparisons: list[SettingComparison]

    @property
    def judged(self) -> int:
        """Pairs that have a grade."""
        return sum(self.grades.values())

    @property
    def folder(self) -> str:
        return "score"

    @property
    def labels(self) -> dict[str, str | int]:
        weights = [weights_text(each.setting.weights) for each in self.settings]
        return {"weights": " ".join(dict.fromkeys(weights)), "pool": self.pool}
