"""What `copies` leaves behind: run.json, a table of searches, and one of pairs."""

from __future__ import annotations

from typing import Any, Literal

from eval.report.machine import EMBEDDING_PACKAGES
from eval.report.results import Mean, Result, WeightsPart, short_hash

HEADLINE = "recall_part"


class Copies(Result):
    """What `copies` measures. Of its fields only `seconds` differs when it is repeated."""

    kind: Literal["copies"] = "copies"
    weights: WeightsPart
    dataset: str
    """Its id."""
    dataset_name: str
    labels_are: Literal["category", "instance", "copy"]
    """Of the dataset: what its labels tell apart; only where they are of instances are images with
    one label of the same thing."""
    digest: str
    """Hash of ids, bytes (also of the edited images) and ground truth: equal for equal queries."""
    limit: int | None
    """Of images; None: the whole dataset."""
    gallery: int
    """Images searched."""
    sample: int
    """Images that were edited."""
    absent: int
    """Searches for what isn't there."""
    absent_units: int
    """Photos that these were made from."""
    edits: dict[str, list[str]]
    """The strengths of each edit."""
    thresholds: dict[str, float]
    """Of the product's rule."""
    engine: str
    canonical: str = ""
    """Hash of four images' pixels and embeddings (`eval.embedding.canonical`)."""
    metrics: dict[str, Mean]
    """Of edited queries whose original is there, `recall_copy` and `recall_part`: it is found as
    that or better; `<name>/<edit>`, `<name>/<edit>:<strength>`, `<name>/none` for the unedited;
    `recall_part/candidates`, of originals among the candidates (`eval.copies.goals`). Of searches
    for what isn't there, `false_exact`, `false_copy`, `false_part`, `false_part_any_label`. Of the
    ranked list of each method, `<method>:micro_ap`, `<method>:recall@p90`, `p99`, `p99.9`, and the
    gain of `all` over `network`. Intervals draw source photos, each with all of its edits."""

    @property
    def headline(self) -> Mean:
        """The share of originals found."""
        return self.metrics[HEADLINE]

    @property
    def folder(self) -> str:
        identity = [
            *(self.dataset, self.digest, self.seed, self.limit, self.edits, self.thresholds),
            *(self.weights.fingerprint, self.engine, self.canonical, self.revision),
            *map(self.packages.get, EMBEDDING_PACKAGES),
        ]
        return f"{self.dataset}-copies-{self.weights.name}-{self.n}-{short_hash(identity)}"

    @property
    def conditions(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "edits": self.edits,
            "digest of the edited images (also by --seed)": self.digest,
        }

    @property
    def labels(self) -> dict[str, str | int]:
        return {**super().labels, "dataset": self.dataset, "queries": self.n}


def notes(result: Copies) -> list[str]:
    """What has to be known before a figure is believed."""
    found = []
    control = result.metrics["recall_copy/none"].value
    if control < 1:
        found.append(
            f"THE CONTROL FAILED: only {control:.1%} of the unedited images find themselves."
        )
    if result.labels_are == "category":
        found.append(
            "CLASSES: the labels are of classes, not of single things. So false_part, which does"
            " not count images of the query's label, leaves out photos of other things;"
            " false_part_any_label counts all, other photos of the same thing too."
        )
    return found
