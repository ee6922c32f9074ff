"""The ablation in run.json and in the report: what each step to bogv's answer costs.

`eval.retrieval.ablation` measures it.
"""

from __future__ import annotations

from typing import Literal

from eval.report.document import Table
from eval.report.results import ResultPart

StepName = Literal["exact", "post", "rerank", "milvus", "milvus_sample", "rest"]


class MetricLoss(ResultPart):
    """Value of the step before, less this step's, over the same queries; above 0 it got worse."""

    value: float
    """In the metric's own unit: 0.01 is a point."""
    ci95: tuple[float, float] | None
    """Over the sampling units; where it holds 0, there may be no loss. None for a single unit."""


class StepMetric(ResultPart):
    """One metric after one step."""

    value: float
    loss: MetricLoss | None
    """None where there is no step before on the same queries and gallery."""


class AblationStep(ResultPart):
    """One step on the way from the embeddings to the service's answer."""

    name: StepName
    what: str
    """For people."""
    queries: int
    gallery: int
    metrics: dict[str, StepMetric]


class Ablation(ResultPart):
    """All steps have rankings of the same length, so that it causes no loss."""

    depth: int
    """Length of the rankings, including the query: at most the service's limit of a search."""
    steps: list[AblationStep]
    left_out: dict[StepName, str]
    """Steps that weren't measured, and why."""


def ablation_table(ablation: Ablation) -> Table:
    """The ablation as a table: a row for each step, losses in points."""
    names = list(ablation.steps[0].metrics)
    columns = [column for name in names for column in (name, f"{name}: loss, points")]
    rows = []
    for step in ablation.steps:
        cells = [cell for name in names for cell in _cells(name, step.metrics[name])]
        rows.append([step.what, f"{step.queries:,}", f"{step.gallery:,}", *cells])
    return Table(["after", "queries", "gallery", *columns], rows, " ".join(_notes(ablation)))


def _notes(ablation: Ablation) -> list[str]:
    what = (
        "A loss is the step before less this one, over the same queries: above 0 it got worse; in"
        " brackets its 95% interval (paired, over the sampling units). A point is 0.01; of ns, 1."
    )
    notes = [
        what,
        f"The rankings of every step end at rank {ablation.depth:,}, including the query.",
    ]
    return notes + [f"Not measured: {name}, for {why}" for name, why in ablation.left_out.items()]


def _cells(name: str, metric: StepMetric) -> tuple[str, str]:
    if metric.loss is None:
        return f"{metric.value:.4f}", "–"
    points = 1 if name == "ns" else 100
    # + 0.0 turns -0.0 into 0.0.
    ends = metric.loss.ci95 or ()
    loss, *around = (f"{round(points * v, 2) + 0.0:+.2f}" for v in (metric.loss.value, *ends))
    return f"{metric.value:.4f}", f"{loss} [{', '.join(around)}]" if around else loss
