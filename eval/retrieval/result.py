"""What `run` leaves behind: run.json and a table with a row for each query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field

from eval.data.catalogue import Anchor, Protocol
from eval.data.datasets import UnitName
from eval.embedding.fitting import FittedOn
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.report.machine import EMBEDDING_PACKAGES
from eval.report.results import (
    PER_QUERY,
    Mean,
    Result,
    ResultPart,
    WeightsPart,
    describe_place,
    read_result,
    read_table,
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
    unit: UnitName
    """What the intervals draw: the sampling unit of the queries."""
    root: str | None = None
    """The folder it was read from, as it was named; None: it is inside a package."""
    limit: int | None
    sample: str | None = None
    """What `limit` left of the dataset, in words; None: all of it."""
    digest: str
    """Hash of ids, bytes, labels, roles and ground truth: equal for equal queries and galleries."""

    @property
    def place(self) -> str:
        """Where its files lie."""
        return describe_place(self.root)


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
    queries_with_same_pixels: int | None = None
    """Queries whose bytes aren't, but that the network can't tell from an image of the gallery."""
    gallery_with_duplicate: int | None = None
    """Images of the gallery with the same bytes or pixels as another of its images."""


class Identity(ResultPart):
    """All that sets runs apart: what was asked for, and the code and the packages that answered."""

    dataset: str
    digest: str
    limit: int | None
    seed: int
    k: list[int]
    fingerprint: str
    engine: str
    settings: EmbeddingSettings
    backend: Backend
    canonical: str
    revision: str | None
    packages: list[str | None]
    """The versions of EMBEDDING_PACKAGES."""
    fitted_on: str | None
    """The digest of what PCA was fitted on, where that isn't the gallery itself."""


class Run(Result):
    """What `run` measures: how well a dataset's queries find what is relevant to them."""

    kind: Literal["run"] = "run"
    weights: WeightsPart
    dataset: DatasetPart
    counts: DatasetCounts
    k: list[int]
    engine: str
    canonical: str = ""
    """Hash of four images' pixels and embeddings (`eval.embedding.canonical`): equal if decoder and
    network do the same."""
    settings: EmbeddingSettings = OWN_SETTINGS
    network: dict[str, str] = Field(default_factory=dict)
    """Of another network than bogv's: its layer, pre-processing and package; of a file of vectors:
    its SHA-256 and what it says of itself. Empty: bogv's own."""
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
    chance: dict[str, float] = Field(default_factory=dict)
    """Each metric's mean for rankings of the whole gallery at random (`eval.chance`)."""
    anchors: list[Anchor]
    """Figures to compare with, from datasets.yaml; none beside a sample, which they are not of."""
    losses: Ablation | None = None
    """The ablation; None if it wasn't requested."""

    @property
    def headline(self) -> Mean:
        """The dataset's usual metric."""
        return self.metrics[self.dataset.headline]

    @property
    def identity(self) -> Identity:
        """What sets this run apart from others."""
        return Identity(
            dataset=self.dataset.id,
            digest=self.dataset.digest,
            limit=self.dataset.limit,
            seed=self.seed,
            k=self.k,
            fingerprint=self.weights.fingerprint,
            engine=self.engine,
            settings=self.settings,
            backend=self.backend,
            canonical=self.canonical,
            revision=self.revision,
            packages=[self.packages.get(name) for name in EMBEDDING_PACKAGES],
            fitted_on=None if self.fitted_on is None else self.fitted_on.digest,
        )

    @property
    def folder(self) -> str:
        """The folder's name: what it is for people, and a hash of its identity."""
        settings = [self.settings.tag] if self.settings.tag else []
        parts = [self.dataset.id, self.weights.name, *settings, self.backend, str(self.n)]
        return "-".join([*parts, short_hash(self.identity.model_dump())])

    @property
    def conditions(self) -> dict[str, Any]:
        """Weights, settings, engine and backend may differ: they are what is compared."""
        return {
            "dataset": self.dataset.id,
            "protocol": self.dataset.protocol,
            "limit": self.dataset.limit,
            "k": self.k,
            "dataset's digest (images, labels, roles; with --limit also --seed)": (
                self.dataset.digest
            ),
        }

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
            "unit": query_result.unit,
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
    run = read_result(path, Run)
    queries = read_table(path, PER_QUERY, ("query", "unit"), (*run.metrics, "first_relevant"))
    return run, queries
