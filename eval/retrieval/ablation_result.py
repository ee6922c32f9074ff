"""The loss account, as run.json and the report have it: what each step to bogv's answer costs.

`eval.retrieval.ablation` measures it.
"""

from __future__ import annotations

from typing import Literal

from eval.report.document import Table
from eval.report.results import ResultPart

StepName = Literal["exact", "post", "milvus", "milvus_sample", "rest"]


class Loss(ResultPart):
    """Value of the step before, less this step's, over the same queries; above 0 it got worse."""

    value: float
    """In the metric's own unit: 0.01 is a point."""
    ci95: tuple[float, float]
    """Paired bootstrap over the queries: where it holds 0, there may be no loss."""


class Cost(ResultPart):
    """One metric after one step."""

    value: float
    loss: Loss | None
    """None where there is no step before on the same queries and gallery."""


class Step(ResultPart):
    """One step on the way from the embeddings to the service's answer."""

    name: StepName
    what: str
    """For people."""
    queries: int
    gallery: int
    metrics: dict[str, Cost]


class Losses(ResultPart):
    """The account. All steps look at the same number of places, so that depth is no loss."""

    depth: int
    """Places of a ranking, the query included: at most what one search of the service gives."""
    steps: list[Step]
    left_out: dict[StepName, str]
    """Steps that weren't measured, and why."""


def losses_table(losses: Losses) -> Table:
    """The account for people: a row for each step, losses in points."""
    names = list(losses.steps[0].metrics)
    columns = [column for name in names for column in (name, f"{name}: loss, points")]
    rows = []
    for step in losses.steps:
        cells = [cell for name in names for cell in _cells(name, step.metrics[name])]
        rows.append([step.what, f"{step.queries:,}", f"{step.gallery:,}", *cells])
    return Table(["after", "queries", "gallery", *columns], rows, " ".join(_notes(losses)))


def _notes(losses: Losses) -> list[str]:
    what = (
        "A loss is the step before less this one, over the same queries: above 0 it got worse; in"
        " brackets its 95% interval (paired bootstrap). A point is 0.01; of ns, it is 1."
    )
    notes = [
        what,
        f"Every step ranks the first {losses.depth:,} places, the query among them.",
    ]
    return notes + [f"Not measured: {name}, for {why}" for name, why in losses.left_out.items()]


def _cells(name: str, cost: Cost) -> tuple[str, str]:
    if cost.loss is None:
        return f"{cost.value:.4f}", "–"
    points = 1 if name == "ns" else 100
    # + 0.0: what rounds to nothing is no minus.
    loss, low, high = (round(points * v, 2) + 0.0 for v in (cost.loss.value, *cost.loss.ci95))
    return f"{cost.value:.4f}", f"{loss:+.2f} [{low:+.2f}, {high:+.2f}]"
