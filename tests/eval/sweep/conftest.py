"""Fixtures that several files here use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.sweep.measure import SweepOptions, measure
from eval.sweep.result import Sweep
from tests.eval.support.sweep import fake_networks, make_loading, make_plan
from tests.support.fakes import encoded, picture


@pytest.fixture(scope="package")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of four; one image of each class is a copy, but for quality, of the next's."""
    folder = tmp_path_factory.mktemp("images")
    for label in range(4):
        (folder / f"class {label}").mkdir(parents=True)
        for quality in (95, 70, 45, 20):
            seed = (label + 1) % 4 if quality == 45 else label
            data = encoded(picture(seed), "JPEG", quality=quality)
            (folder / f"class {label}" / f"q{quality}.jpg").write_bytes(data)
    return folder


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_networks(monkeypatch)


@pytest.fixture(scope="package")
def swept(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Sweep]]:
    """The folder of the runs, and a sweep with a setting that fails."""
    folder = tmp_path_factory.mktemp("swept")
    plan = make_plan(root, {"post": ["pca:3", "pca:999"], "rerank": ["aqe"]})
    with pytest.MonkeyPatch.context() as patch:
        fake_networks(patch)
        options = SweepOptions(folder / "out", folder / "cache", progress=False)
        yield folder / "out", measure(plan, make_loading(folder), options)
