"""Measurements of copies on small folders, with the fake embedder; pairs made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from bogv.copies.geometry import Agreement
from eval.copies.decision import METHODS
from eval.copies.evidence import Pair
from eval.copies.measure import CopiesOptions, CopiesOutcome, measure
from tests.eval.support.retrieval import DECODER
from tests.support.fakes import fake_embedder


def measured(root: Path, **more: Any) -> CopiesOutcome:
    options = CopiesOptions(**{"dataset": "folder", "root": root, "progress": False, **more})
    return measure(options, fake_embedder(), DECODER, root.parent / "cache")


def pair(inliers: int = 0, overlap: float = 1.0, **more: Any) -> Pair:
    agreement = Agreement(inliers, query_overlap=overlap, hit_overlap=1.0)
    values = {"image": 0, "exact": False, "distance": None, "cosine": 0.5, "hit": True, **more}
    return Pair(agreement=agreement, **values)


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    """Rows of the table of pairs: what isn't given is of an unlike, wrong image."""
    usual = {
        "query": "a (crop:50)",
        "source": "a",
        "edit": "crop",
        "strength": "50",
        "there": True,
        "found": "b",
        "right": False,
        "excused": False,
        "kind": "similar",
        "distance": pd.NA,
        "inliers": 0,
        "overlap": 0.0,
        "cosine": 0.1,
        **dict.fromkeys(METHODS, float("nan")),
    }
    return pd.DataFrame([{**usual, **row} for row in rows])
