"""The result folder of every measurement: run.json, tables, summary.csv and a report.

run.json is written last, so if it exists, the result is complete. Its first field is the weights.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from bogv.embedding.weights import UNTRAINED
from bogv.files import atomic_write
from eval.errors import WorkbenchError
from eval.report.document import Report
from eval.report.document import write as write_report
from eval.statistics import percentile, percentile_interval, summarise

SCHEMA: Final = 2
RUN, SUMMARY = "run.json", "summary.csv"
PER_QUERY = "per_query.parquet"
"""The table with one row per query."""
UNTRAINED_NOTE = (
    "UNTRAINED weights: the network finds only near-duplicates and similar colours. These figures"
    " say nothing about the quality of trained weights."
)


class ResultPart(BaseModel):
    """A part of run.json; unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightsPart(ResultPart):
    """The weights that made the result."""

    name: str
    fingerprint: str
    trained: bool
    note: str | None
    """A warning if the weights are untrained."""


class Mean(ResultPart):
    """A mean over queries with its bootstrap 95% interval."""

    value: float
    ci95: tuple[float, float]


class Result(ResultPart):
    """The fields common to run.json of all commands. With the same seed, only times differ."""

    weights: WeightsPart | None
    """None: no network was used, as with synthetic vectors."""
    schema_version: Literal[2] = SCHEMA
    kind: str
    """The command's name."""
    command: str
    n: int
    """The sample size: scored queries, or requests."""
    seed: int
    metrics: dict[str, Mean]
    revision: str | None
    machine: dict[str, str | int]
    packages: dict[str, str]
    seconds: dict[str, float | None]
    """By part of the measurement."""

    @property
    def folder(self) -> str:
        """The name of the result's folder, unique to the measurement's options."""
        raise NotImplementedError

    @property
    def labels(self) -> dict[str, str | int]:
        """The first columns of summary.csv, which identify the run when files are joined."""
        return {"weights": weights_text(self.weights)}


def means_of(
    columns: Mapping[str, ArrayLike], classes: ArrayLike | None, seed: int
) -> dict[str, Mean]:
    """The means of the metrics over the queries, as `eval.statistics.summarise` returns them."""
    summary = summarise(columns, classes, seed)
    return {name: Mean.model_validate(dict(found)) for name, found in summary.items()}


def percentile_mean(ordered: ArrayLike, percent: float) -> Mean:
    """A percentile, with its interval by order statistics, under a result's metrics.

    ordered: (n,), ascending.
    """
    low, high = percentile_interval(ordered, percent)
    value = percentile(ordered, percent)
    return Mean(value=round(value, 3), ci95=(round(low, 3), round(high, 3)))


def weights_lead(weights: WeightsPart) -> list[str]:
    """The first lines of a report: the weights, and a warning if they are untrained."""
    lead = f"Weights: {weights_text(weights)}, fingerprint {weights.fingerprint}."
    return [lead, weights.note] if weights.note else [lead]


def weights_part(name: str, fingerprint: str) -> WeightsPart:
    """The weights as in a result. name: of `bogv.embedding.weights.Weights`."""
    trained = name != UNTRAINED
    return WeightsPart(
        name=name,
        fingerprint=fingerprint,
        trained=trained,
        note=None if trained else UNTRAINED_NOTE,
    )


def weights_text(weights: WeightsPart | None) -> str:
    """The weights' name; in capitals if they are untrained."""
    if weights is None:
        return "none"
    return weights.name if weights.trained else weights.name.upper()


def short_hash(identity: Any) -> str:
    """8 hex digits of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]


def write(
    out: Path,
    result: Result,
    tables: Mapping[str, pd.DataFrame],
    report: Report,
    files: Mapping[str, Callable[[Path], object]] | None = None,
) -> Path:
    """Write the result's folder below `out`, replacing an earlier one, and return its path.

    tables: by the name of the Parquet file. files: by name, what writes each to its path. Raises
    WorkbenchError if it can't be written.
    """
    folder = out / result.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN).unlink(missing_ok=True)
        for name, frame in tables.items():
            frame.to_parquet(folder / name, index=False)
        for name, write_file in (files or {}).items():
            write_file(folder / name)
        _write_summary(folder / SUMMARY, result)
        write_report(folder, report)
        with atomic_write(folder / RUN) as partial:
            partial.write_text(result.model_dump_json(indent=2) + "\n", "utf-8")
    except OSError as error:
        raise WorkbenchError(f"The results can't be written to {folder}: {error}.") from error
    return folder


def _write_summary(path: Path, result: Result) -> None:
    """One line per metric, with the run's labels, so that files of several runs can be joined."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*result.labels, "metric", "value", "ci95_low", "ci95_high"])
        for name, mean in result.metrics.items():
            writer.writerow([*result.labels.values(), name, mean.value, *mean.ci95])
