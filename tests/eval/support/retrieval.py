"""Runs on small folders, with the fake embedder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bogv.imaging.decoder import Decoder
from eval.data.catalogue import Spec
from eval.data.datasets import Dataset
from eval.data.items import Truth
from eval.retrieval.measure import RetrievalOptions, RetrievalOutcome, measure
from tests.support.fakes import fake_embedder

Eval = Callable[..., int]
DECODER = Decoder(1_000_000, 1_000_000)
LABELS = [f"class {number % 4}" for number in range(16)]


def measured(tmp_path: Path, dataset: Spec | str, **more: Any) -> RetrievalOutcome:
    options = RetrievalOptions(dataset=dataset, progress=False, **more)
    return measure(options, fake_embedder(), DECODER, tmp_path / "cache")


def first_is_junk(dataset: Dataset) -> dict[int, Truth]:
    """Of what bears a query's label, the first is junk."""
    truth: dict[int, Truth] = {}
    for query in dataset.queries:
        others = dataset.relevant(query).tolist()
        truth[query] = Truth(tuple(others[1:]), (others[0],))
    return truth
