"""What `sweep` leaves behind: sweep.json, sweep.csv and a report."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import Field

from eval.report.results import Mean, Result, ResultPart, WeightsPart, short_hash
from eval.sweep.definition import Design, LeftOut
from eval.sweep.settings import SweptSettings

Verdict = Literal["better", "not worse", "worse", "undecided"]
Front = Literal["ms", "bytes"]
SWEEP, TABLE = "sweep.json", "sweep.csv"


class SweptDataset(ResultPart):
    """A dataset of the sweep."""

    id: str
    name: str
    headline: str
    """The metric that the settings are compared by."""
    unit: str
    """What the intervals draw."""
    limit: int | None
    samples: dict[int, str | None]
    """By seed, what was drawn, in words; None: all of it."""
    digests: dict[int, str]
    """By seed."""
    queries_with_duplicate: int | None
    """Of the baseline with the first seed; by bytes or by pixels; None: it failed."""


class Change(ResultPart):
    """A setting less the baseline, over the same queries."""

    value: float
    ci95: tuple[float, float] | None
    """Not corrected for the number of comparisons."""
    p: float
    """Two-sided, corrected for all comparisons of the sweep by Holm's method."""
    detectable: float | None
    """The least true difference that a single comparison would find in 4 of 5 cases."""


class Cost(ResultPart):
    """What a setting costs."""

    embed_ms: float
    """Of an image, decoding included: processor time of one core, on a GPU the clock's."""
    embed_ratio: tuple[float, float, float]
    """To the baseline's: the median, smallest and largest of the rounds."""
    rerank_ms: float | None
    """Of a query, by the clock; None: nothing is re-ranked."""
    rerank_gallery_seconds: float | None
    """Once for the gallery."""
    bytes_per_vector: float
    """Of an image in the gallery: float32 embedding, and what re-ranking keeps beside it."""
    others: float | None
    """The share of the machine's CPU time that other processes used while embedding was timed."""

    @property
    def ms(self) -> float:
        """Of a search: one image is embedded, and its ranking re-ranked."""
        return self.embed_ms + (self.rerank_ms or 0.0)


class Row(ResultPart):
    """A setting on a dataset."""

    dataset: str
    setting: str
    """Its name."""
    runs: list[str]
    """The folders of its runs, by the order of the seeds."""
    error: str | None = None
    """Why there is no figure."""
    n: int = 0
    """Scored queries of all seeds."""
    mean: Mean | None = None
    """The headline metric over the queries of all seeds."""
    by_seed: dict[int, float] = Field(default_factory=dict)
    """The headline metric of each seed."""
    change: Change | None = None
    """None: the baseline itself, or there is nothing to compare with."""
    verdict: Verdict | None = None
    cost: Cost | None = None
    fronts: list[Front] = Field(default_factory=list)
    """On which Pareto fronts it is: quality against milliseconds of a search, or bytes a vector."""


class Sweep(Result):
    """What `sweep` measures: the quality and the cost of settings."""

    FILE: ClassVar[str] = SWEEP

    kind: Literal["sweep"] = "sweep"
    weights: WeightsPart
    engine: str
    """Of the baseline."""
    datasets: list[SweptDataset]
    seeds: list[int]
    design: Design | None
    """None: a list of settings."""
    settings: list[SweptSettings]
    """The baseline first."""
    left_out: list[LeftOut]
    comparisons: int
    """How many the p-values are corrected for."""
    max_drop: float
    """The margin of `not worse`."""
    rows: list[Row]
    """By dataset, in the order of the settings."""

    @property
    def baseline(self) -> SweptSettings:
        """What all others are compared with."""
        return self.settings[0]

    @property
    def failed(self) -> list[Row]:
        """The rows without a figure."""
        return [row for row in self.rows if row.error is not None]

    def of(self, dataset: str) -> list[Row]:
        """The rows of a dataset."""
        return [row for row in self.rows if row.dataset == dataset]

    @property
    def folder(self) -> str:
        """What it is for people, and a hash of what was asked for and the code that answered."""
        identity = [
            *([each.id, each.limit, each.digests] for each in self.datasets),
            *(self.seeds, self.design, [each.model_dump() for each in self.settings]),
            *(self.weights.fingerprint, self.engine, self.max_drop, self.revision),
        ]
        names = [each.id for each in self.datasets]
        return "-".join(["sweep", *names, self.weights.name, short_hash(identity)])

    @property
    def labels(self) -> dict[str, str | int]:
        return {**super().labels, "baseline": self.baseline.title, "settings": len(self.settings)}


def sweep_table(sweep: Sweep) -> pd.DataFrame:
    """sweep.csv: a line for each row, the weights first."""
    settings = {each.title: each for each in sweep.settings}
    label = sweep.labels["weights"]
    return pd.DataFrame([_line(row, settings[row.setting], label) for row in sweep.rows])


def _line(row: Row, settings: SweptSettings, weights: str | int) -> dict[str, Any]:
    low, high = (row.mean.ci95 if row.mean else None) or (None, None)
    change, cost = row.change, row.cost
    change_low, change_high = (change.ci95 if change else None) or (None, None)
    return {
        "weights": weights,
        "dataset": row.dataset,
        "setting": row.setting,
        **{name: str(value) for name, value in settings.values().items()},
        "n": row.n,
        "value": row.mean and row.mean.value,
        "ci95_low": low,
        "ci95_high": high,
        "difference": change and change.value,
        "difference_low": change_low,
        "difference_high": change_high,
        "p_holm": change and change.p,
        "verdict": row.verdict,
        "embed_ms": cost and cost.embed_ms,
        "rerank_ms": cost and cost.rerank_ms,
        "rerank_gallery_seconds": cost and cost.rerank_gallery_seconds,
        "bytes_per_vector": cost and cost.bytes_per_vector,
        "fronts": " ".join(row.fronts),
        "runs": " ".join(row.runs),
        "error": row.error,
    }
