"""Runs whose reports are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bogv.embedding.embedder import Embedder
from eval.report.document import Report
from eval.retrieval.measure import RetrievalOptions, RetrievalOutcome, measure
from tests.eval.support.retrieval import DECODER
from tests.support.fakes import fake_embedder


def measured(
    folder: Path, tmp_path: Path, embedder: Embedder | None = None, **more: Any
) -> RetrievalOutcome:
    options = RetrievalOptions("folder", folder, progress=False, **more)
    return measure(options, embedder or fake_embedder(), DECODER, tmp_path / "cache")


def blocks(report: Report, kind: type[Any]) -> list[Any]:
    return [
        each for section in report.sections for each in section.blocks if isinstance(each, kind)
    ]
