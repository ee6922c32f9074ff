"""Results of runs, made up, for tests of the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.report.document import Report
from eval.report.results import PER_QUERY, Mean, weights_part, write
from eval.retrieval.result import DatasetCounts, DatasetPart, Run


def made_up_run(
    revision: str | None,
    value: float,
    digest: str = "d1d1d1d1d1d1",
    settings: EmbeddingSettings = OWN_SETTINGS,
    **more: Any,
) -> Run:
    dataset = DatasetPart(
        id="folder",
        name="Any folder of yours",
        protocol="leave-one-out",
        headline="hit_rate@1",
        overlaps_imagenet="unknown",
        unit="class",
        limit=None,
        digest=digest,
    )
    counts = DatasetCounts(
        images=9,
        classes=3,
        queries=9,
        gallery=9,
        queries_without_relevant=0,
        queries_with_duplicate=0,
    )
    interval = (value - 0.1, value + 0.1)
    fields = {
        "weights": weights_part("untrained", "feed"),
        "command": "python -m eval run",
        "n": 9,
        "seed": 0,
        "metrics": {"hit_rate@1": Mean(value=value, ci95=interval)},
        "revision": revision,
        "machine": {},
        "packages": {},
        "seconds": {},
        "k": [1],
        "engine": "fake",
        "backend": "exact",
        "depth": None,
        "anchors": [],
    }
    return Run(dataset=dataset, counts=counts, settings=settings, **{**fields, **more})


def written_run(parent: Path, revision: str | None, value: float, **more: Any) -> Path:
    """The folder of a made-up run."""
    queries = pd.DataFrame({"query": ["a"], "unit": ["a"], "first_relevant": [1]})
    run = made_up_run(revision, value, **more)
    out = parent / f"{revision}-{value}-{run.dataset.digest}"
    return write(out, run, {PER_QUERY: queries}, Report("A run", []))
