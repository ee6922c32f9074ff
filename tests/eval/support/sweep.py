"""A small sweep with the fake network, and made-up results of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bogv.embedding.embedder import Embedder
from eval.report.results import Mean, weights_part
from eval.sweep import cost, loading
from eval.sweep.definition import LeftOut, make_definition
from eval.sweep.loading import Loading
from eval.sweep.measure import Plan, plan_sweep
from eval.sweep.result import Change, Cost, Row, Sweep, SweptDataset
from eval.sweep.settings import SweptSettings
from tests.eval.support.ann import here
from tests.support.fakes import FakeEngine


def fake_networks(patch: pytest.MonkeyPatch) -> None:
    """All of a sweep in this process, with the fake network in place of each."""
    patch.setattr(loading, "load_embedder", lambda weights, *_: Embedder(weights, FakeEngine()))
    patch.setattr(cost, "run_in_process", here)
    patch.setattr(cost, "pin_to_core", lambda _: None)


def make_loading(folder: Path) -> Loading:
    return Loading("untrained", "auto", folder / "cache", folder / "models", 10**6, 10**6)


def make_plan(root: Path, settings: Any, **more: Any) -> Plan:
    dataset = {"id": "folder", "root": root, "limit": more.pop("limit", None)}
    return plan_sweep(
        make_definition({"datasets": [dataset], "settings": settings, **more}, "test")
    )


def make_row(setting: str, value: float, ms: float, size: float = 8192, **more: Any) -> Row:
    """A row of the dataset `one`, unless it is said otherwise."""
    verdict = more.pop("verdict", None)
    change = Change(value=0.1, ci95=(0.05, 0.15), p=0.01, detectable=0.04) if verdict else None
    return Row(
        dataset=more.pop("dataset", "one"),
        setting=setting,
        runs=["one-run"],
        n=10,
        mean=Mean(value=value, ci95=(value - 0.1, value + 0.1), units=10, method="Wilson"),
        by_seed={0: value},
        change=change,
        verdict=verdict,
        cost=Cost(
            embed_ms=ms,
            embed_ratio=(ms / 10, ms / 11, ms / 9),
            rerank_ms=None,
            rerank_gallery_seconds=None,
            bytes_per_vector=size,
            others=more.pop("others", 0.02),
        ),
        **more,
    )


def make_sweep(rows: list[Row], settings: list[SweptSettings], **more: Any) -> Sweep:
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    values: dict[str, Any] = {
        "weights": weights_part("untrained", "feed"),
        "engine": "fake",
        "command": "python -m eval sweep",
        "n": 10,
        "seed": 0,
        "metrics": {},
        "datasets": [
            SweptDataset(
                id=name,
                name=f"Dataset {name}",
                headline="hit_rate@1",
                unit="class",
                limit=None,
                samples={0: None},
                digests={0: "abc"},
                queries_with_duplicate=2,
            )
            for name in datasets
        ],
        "seeds": [0],
        "design": "one_at_a_time",
        "settings": settings,
        "left_out": [LeftOut(name="448 px, int8", reason="not possible")],
        "comparisons": 3,
        "max_drop": 0.01,
        "rows": rows,
        "revision": "0123",
        "machine": {"system": "any"},
        "packages": {},
        "seconds": {},
    }
    return Sweep(**{**values, **more})
