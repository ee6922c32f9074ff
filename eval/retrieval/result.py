"""What `run` leaves behind: run.json and a table with a row for each query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import ValidationError

from eval.data.catalogue import Anchor, Protocol
from eval.embedding.fitting import FittedOn
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.errors import WorkbenchError
from eval.report.results import (
    PER_QUERY,
    RUN,
    SCHEMA,
    Mean,
    Result,
    ResultPart,
    WeightsPart,
    short_hash,
)
from eval.retrieval.ablation_result import Ablation
from eval.retrieval.scoring import QueryResult
from eval.retrieval.search import Backend


class DatasetPart(ResultPart):
    """On what, and by which rules."""

    id: str
    name: str
    protocol: Protocol
    headline: str
    overlaps_imagenet: str
    limit: int | None
    digest: str
    """Hash of ids, bytes, labels, roles and ground truth: equal for equal queries and galleries."""


class DatasetCounts(ResultPart):
    """The sizes of the dataset's parts."""

    images: int
    classes: int
    queries: int
    gallery: int
    queries_without_relevant: int
    """Excluded queries, without a relevant image."""
    queries_with_duplicate: int
    """Queries whose bytes are in the gallery under another id: a leak, unless that is the task."""


class Run(Result):
    """What `run` measures: how well a dataset's queries find what is relevant to them."""

    kind: Literal["run"] = "run"
    weights: WeightsPart
    dataset: DatasetPart
    counts: DatasetCounts
    k: list[int]
    engine: str
    settings: EmbeddingSettings = OWN_SETTINGS
    fitted_on: FittedOn | None = None
    """What PCA was fitted on; None: on the gallery itself, or there is none."""
    rerank_bytes_per_vector: float | None = None
    """What the re-ranking keeps beside each vector of the gallery; None: nothing was re-ranked. Its
    times are in `seconds`: `rerank_gallery` once, `rerank_per_query` without the first search."""
    backend: Backend
    depth: int | None
    """The maximum length of a ranking, including the query; None: the whole gallery. Metrics of the
    whole ranking (map, r_precision, map@r) count images beyond it as not found."""
    metrics: dict[str, Mean]
    """`<name>`: over queries. `<name>_per_class`: the mean of the classes' means."""
    anchors: list[Anchor]
    """Figures to compare with, from datasets.yaml."""
    losses: Ablation | None = None
    """The ablation; None if it wasn't requested."""

    @property
    def headline(self) -> Mean:
        """The dataset's usual metric."""
        return self.metrics[self.dataset.headline]

    @property
    def folder(self) -> str:
        """The folder's name: what it is for people, and a hash of all that sets runs apart."""
        identity = [
            *(self.dataset.id, self.dataset.digest, self.dataset.limit, self.seed, self.k),
            *(self.weights.fingerprint, self.engine, self.settings.model_dump(), self.backend),
        ]
        if self.fitted_on is not None:
            identity.append(self.fitted_on.digest)
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


def query_table(query_results: Sequence[QueryResult]) -> pd.DataFrame:
    """A row for each query, ordered by its id."""
    rows = [
        {
            "query": query_result.query,
            "label": query_result.label,
            "first_relevant": query_result.first_relevant,
            "first_relevant_id": query_result.first_relevant_id,
            "first_relevant_score": query_result.first_relevant_score,
            "relevant": query_result.relevant,
            "relevant_places": query_result.relevant_places,
            "top_ids": query_result.top_ids,
            "top_scores": query_result.top_scores,
            **query_result.scores,
        }
        for query_result in sorted(query_results, key=lambda query_result: query_result.query)
    ]
    frame = pd.DataFrame(rows)
    # Without this, a query without a relevant image would turn the whole column into floats.
    return frame.astype({"first_relevant": "Int64"})


def read_run(path: Path) -> tuple[Run, pd.DataFrame]:
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
        raise WorkbenchError(f"There is no complete result in {folder}: {error}") from error
    if missing := {"query", "first_relevant"} - set(queries.columns):
        raise WorkbenchError(f"{folder / PER_QUERY} has no column {sorted(missing)}.")
    return run, queries
