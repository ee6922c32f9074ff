"""Fixtures that several files here use."""

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.embedding.weights import Weights
from eval.speed.setting import Setting
from tests.eval.support.speed import FakeSetting
from tests.support.fakes import encoded, picture


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    weights = Weights("custom", Path("w.pth"), "fake0000")
    return FakeSetting(tmp_path / "data", weights, "auto", "auto", 10**6, 10**7)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = []
    for seed, size in enumerate(((320, 240), (100, 300), (700, 300))):
        made.append(tmp_path / f"{seed}.png")
        made[-1].write_bytes(encoded(picture(seed, size)))
    return made
