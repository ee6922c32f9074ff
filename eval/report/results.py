"""What a measurement leaves behind: a folder with run.json, tables, summary.csv and a report.

run.json is written last: where it is, the rest is whole. It says first which weights made it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from bogv.weights import UNTRAINED
from eval.data.datasets import Anchor, Dataset, Protocol
from eval.embedding.settings import OWN, Variant
from eval.errors import WorkbenchError
from eval.report.document import Report
from eval.report.document import write as write_report
from eval.retrieval.ablation_result import Losses
from eval.retrieval.scoring import Answer
from eval.retrieval.search import Backend

SCHEMA: Final = 2
RUN, PER_QUERY, SUMMARY = "run.json", "per_query.parquet", "summary.csv"
UNTRAINED_NOTE = (
    "UNTRAINED weights: the network has learnt nothing. These figures say how far near-copies and"
    " similar colours go, and nothing of what trained weights would find."
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightsPart(_Part):
    """Which weights made the result."""

    name: str
    fingerprint: str
    trained: bool
    note: str | None
    """In plain words, where they are untrained."""


class DatasetPart(_Part):
    """On what, and by which rules."""

    id: str
    name: str
    protocol: Protocol
    headline: str
    overlaps_imagenet: str
    limit: int | None
    digest: str
    """Of ids, bytes, labels, roles and truth: equal where the same questions were asked."""


class Counts(_Part):
    """How many there were of each."""

    images: int
    classes: int
    queries: int
    gallery: int
    queries_without_relevant: int
    """Left out: there is nothing for them to find."""
    queries_with_duplicate: int
    """The gallery holds their bytes under another id: a leak, unless that is what is asked."""


class Mean(_Part):
    """A mean over queries with its bootstrap 95% interval."""

    value: float
    ci95: tuple[float, float]


class Result(_Part):
    """run.json, whatever was measured; repeated with its seed it is the same but for times."""

    weights: WeightsPart | None
    """None: no network took part, as with synthetic vectors."""
    schema_version: Literal[2] = SCHEMA
    kind: str
    """What was measured: the command's name."""
    command: str
    n: int
    """What was measured so often: queries that were scored, or requests."""
    seed: int
    metrics: dict[str, Mean]
    revision: str | None
    machine: dict[str, str | int]
    packages: dict[str, str]
    seconds: dict[str, float | None]
    """How long the parts of it took."""

    @property
    def folder(self) -> str:
        """The name of the result's folder: says what it is, and is its alone."""
        raise NotImplementedError

    @property
    def labels(self) -> dict[str, str | int]:
        """What each line of summary.csv begins with, so that several can be joined."""
        return {"weights": weights_text(self.weights)}


class Run(Result):
    """What `run` measures: how well a dataset's queries find what is relevant to them."""

    kind: Literal["run"] = "run"
    weights: WeightsPart
    dataset: DatasetPart
    counts: Counts
    k: list[int]
    engine: str
    settings: Variant = OWN
    backend: Backend
    depth: int | None
    """Places that a ranking has at most, the query included; None: the whole gallery. What needs
    the whole ranking (map, r_precision, map@r) counts what lies deeper as not found."""
    metrics: dict[str, Mean]
    """`<name>`: over queries. `<name>_per_class`: the mean of the classes' means."""
    anchors: list[Anchor]
    """Figures to compare with, from datasets.yaml."""
    losses: Losses | None = None
    """The loss account; None where it wasn't asked for."""

    @property
    def headline(self) -> Mean:
        """What the dataset is known by."""
        return self.metrics[self.dataset.headline]

    @property
    def folder(self) -> str:
        """The folder's name: what it is for people, and a hash of all that sets runs apart."""
        identity = [
            *(self.dataset.id, self.dataset.digest, self.dataset.limit, self.seed, self.k),
            *(self.weights.fingerprint, self.engine, self.settings.model_dump(), self.backend),
        ]
        settings = [self.settings.tag] if self.settings.tag else []
        parts = [self.dataset.id, self.weights.name, *settings, self.backend, str(self.n)]
        return "-".join([*parts, short_hash(identity)])

    @property
    def labels(self) -> dict[str, str | int]:
        return {
            **super().labels,
            "dataset": self.dataset.id,
            "settings": self.settings.tag or "own",
            "backend": self.backend,
            "queries": self.n,
        }


def weights_part(name: str, fingerprint: str) -> WeightsPart:
    """The weights as a result names them. name: as `bogv.weights.Weights` has it."""
    trained = name != UNTRAINED
    return WeightsPart(
        name=name,
        fingerprint=fingerprint,
        trained=trained,
        note=None if trained else UNTRAINED_NOTE,
    )


def weights_text(weights: WeightsPart | None) -> str:
    """The weights' name; in capitals what must not be overlooked."""
    if weights is None:
        return "none"
    return weights.name if weights.trained else weights.name.upper()


def short_hash(identity: Any) -> str:
    """8 hex digits of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]


def dataset_digest(dataset: Dataset, digests: Sequence[str]) -> str:
    """12 hex digits of what is asked of whom. digests: of each item's bytes.

    The order of the files and where they lie change nothing.
    """
    queries, gallery = set(dataset.queries), set(dataset.gallery)
    lines: list[list[Any]] = []
    for index, item in enumerate(dataset.items):
        truth = dataset.truth.get(index) if dataset.truth else None
        ids = [
            sorted(dataset.items[other].id for other in others)
            for others in ((truth.relevant, truth.junk) if truth else ())
        ]
        roles = [index in queries, index in gallery]
        lines.append([item.id, digests[index], item.label, *roles, *ids])
    text = json.dumps([dataset.spec.protocol, *sorted(lines, key=lambda line: str(line[0]))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def table(answers: Sequence[Answer]) -> pd.DataFrame:
    """A row for each query, ordered by its id."""
    rows = [
        {
            "query": answer.query,
            "label": answer.label,
            "first_relevant": answer.first_relevant,
            "first_relevant_id": answer.first_relevant_id,
            "first_relevant_score": answer.first_relevant_score,
            "relevant": answer.relevant,
            "relevant_places": answer.relevant_places,
            "top_ids": answer.top_ids,
            "top_scores": answer.top_scores,
            **answer.scores,
        }
        for answer in sorted(answers, key=lambda answer: answer.query)
    ]
    frame = pd.DataFrame(rows)
    # Without this, a query that found nothing would turn all places into floats.
    return frame.astype({"first_relevant": "Int64"})


def write(out: Path, result: Result, tables: Mapping[str, pd.DataFrame], report: Report) -> Path:
    """Write the result's folder below `out`, over an earlier one of the same; gives the folder.

    tables: by the name of the Parquet file. Raises WorkbenchError where it can't be written.
    """
    folder = out / result.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RUN).unlink(missing_ok=True)
        for name, frame in tables.items():
            frame.to_parquet(folder / name, index=False)
        _write_summary(folder / SUMMARY, result)
        write_report(folder, report)
        partial = folder / f".{RUN}.{os.getpid()}"
        partial.write_text(result.model_dump_json(indent=2) + "\n", "utf-8")
        partial.replace(folder / RUN)
    except OSError as error:
        raise WorkbenchError(f"The results can't be written to {folder}: {error}.") from error
    return folder


def _write_summary(path: Path, result: Result) -> None:
    """A line a metric; each says what it is of, so that the files of several runs can be joined."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*result.labels, "metric", "value", "ci95_low", "ci95_high"])
        for name, mean in result.metrics.items():
            writer.writerow([*result.labels.values(), name, mean.value, *mean.ci95])


def read(path: Path) -> tuple[Run, pd.DataFrame]:
    """The run and its queries. path: its folder, or the run.json in it. Raises WorkbenchError."""
    folder = path.parent if path.name == RUN else path
    try:
        run = Run.model_validate_json((folder / RUN).read_bytes())
        queries = pd.read_parquet(folder / PER_QUERY)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise WorkbenchError(
            f"{folder / RUN} is no result of this version (schema {SCHEMA}):"
            f" {where or 'the file'}: {fault['msg']}."
        ) from error
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise WorkbenchError(f"There is no whole result in {folder}: {error}") from error
    if missing := {"query", "first_relevant"} - set(queries.columns):
        raise WorkbenchError(f"{folder / PER_QUERY} has no column {sorted(missing)}.")
    return run, queries
