"""What `robustness` leaves behind: run.json and a table with a row for each edited image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from bogv.calibration.edits import CONTROL, EditVariant
from eval.report.machine import EMBEDDING_PACKAGES
from eval.report.results import Mean, Result, WeightsPart, short_hash
from eval.retrieval.search import Backend

HEADLINE = "hit_rate@1"


class Robustness(Result):
    """What `robustness` measures. Of its fields only `seconds` differs when it is repeated."""

    kind: Literal["robustness"] = "robustness"
    weights: WeightsPart
    dataset: str
    """Its id."""
    dataset_name: str
    root: str | None = None
    """The folder it was read from, as it was named; None: it is inside a package."""
    digest: str
    """Hash of ids, bytes (also of the edited images) and ground truth: equal for equal queries."""
    gallery: int
    """Number of images searched: the dataset's gallery; of a folder, all its images."""
    sample: int
    """Images that were edited."""
    sample_with_copies: int
    """How many of these have a copy in the gallery under another id; finding the copy counts."""
    edits: dict[str, list[str]]
    """The strengths of each edit."""
    k: list[int]
    engine: str
    canonical: str = ""
    """Hash of four images' pixels and embeddings (`eval.embedding.canonical`)."""
    backend: Backend
    depth: int | None
    """The maximum length of a ranking; None: the whole gallery. Images beyond it have no rank."""
    metrics: dict[str, Mean]
    """`<name>`: over all edited images; `<name>/<edit>` and `<name>/<edit>:<strength>`: over some
    of them; `<name>/none`: over the unedited. Intervals draw originals, each with all of its edits:
    they are not independent of each other."""

    @property
    def headline(self) -> Mean:
        """The share of originals ranked first."""
        return self.metrics[HEADLINE]

    @property
    def folder(self) -> str:
        identity = [
            *(self.dataset, self.digest, self.seed, self.k, self.edits),
            *(self.weights.fingerprint, self.engine, self.backend),
            *(self.canonical, self.revision, *map(self.packages.get, EMBEDDING_PACKAGES)),
        ]
        return (
            f"{self.dataset}-robustness-{self.weights.name}-{self.backend}-{self.n}"
            f"-{short_hash(identity)}"
        )

    @property
    def conditions(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "edits": self.edits,
            "k": self.k,
            "digest of the edited images (also by --seed)": self.digest,
        }

    @property
    def labels(self) -> dict[str, str | int]:
        return {
            **super().labels,
            "dataset": self.dataset,
            "backend": self.backend,
            "queries": self.n,
        }


@dataclass(frozen=True)
class EditedQueryResult:
    """The result of one edited image."""

    query: int
    """Index into the items."""
    image: str
    """The original's id."""
    variant: EditVariant
    rank: int | None
    """Rank of the original, or of a copy of it, counted from 1; None: not in the ranking."""
    found_id: str | None
    """The id at that rank."""
    similarity: float | None
    """Its cosine."""
    top_ids: list[str]
    """The top hits, at most ten."""
    top_scores: list[float]
    scores: dict[str, float]


def edited_query_table(query_results: Sequence[EditedQueryResult]) -> pd.DataFrame:
    """A row for each edited image, and for each unedited one."""
    rows = [
        {
            "image": query_result.image,
            "edit": query_result.variant.edit,
            "strength": query_result.variant.strength,
            "rank": query_result.rank,
            "found_id": query_result.found_id,
            "similarity": query_result.similarity,
            "top_id": query_result.top_ids[0],
            "top_ids": query_result.top_ids,
            "top_scores": query_result.top_scores,
            **query_result.scores,
        }
        for query_result in query_results
    ]
    return pd.DataFrame(rows).astype({"rank": "Int64", "similarity": "float64"})


def notes(result: Robustness) -> list[str]:
    """What has to be known before a figure is believed."""
    found = []
    if result.sample_with_copies:
        found.append(
            f"DUPLICATES: {result.sample_with_copies:,} of the {result.sample:,} edited images are"
            " in the gallery again, with the same bytes or pixels. Finding a copy counts as finding"
            " the original."
        )
    control = result.metrics[f"{HEADLINE}/{CONTROL.name}"].value
    if control < 1:
        found.append(
            f"THE CONTROL FAILED: unedited images find themselves first in {control:.1%} of cases"
            " only. Different images have the same embedding, or the index loses some; the other"
            " figures are no better than that."
        )
    return found
