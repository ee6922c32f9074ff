"""Measurements of robustness on small folders, with the fake embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from eval.robustness.measure import RobustnessOptions, RobustnessOutcome, measure
from tests.eval.support.retrieval import DECODER
from tests.support.fakes import fake_embedder


def measured(
    root: Path, embedder: Embedder | None = None, decoder: Decoder = DECODER, **more: Any
) -> RobustnessOutcome:
    options = RobustnessOptions(**{"dataset": "folder", "root": root, "progress": False, **more})
    return measure(options, embedder or fake_embedder(), decoder, root.parent / "cache")


def values(outcome: RobustnessOutcome) -> dict[str, float]:
    return {name: mean.value for name, mean in outcome.result.metrics.items()}
