"""Fixtures that several files here use."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from eval.data.datasets import Dataset
from eval.embedding.embed import Embedded, embed
from eval.selftest import made_up
from tests.eval.support.retrieval import DECODER, LABELS
from tests.support.fakes import encoded, fake_embedder, picture


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Four classes of four: each one picture in four qualities."""
    made = made_up(LABELS)
    files = [
        encoded(picture(number % 4), "JPEG", quality=95 - number // 4 * 25) for number in range(16)
    ]
    items = [
        replace(item, read=partial(bytes, data))
        for item, data in zip(made.items, files, strict=True)
    ]
    return replace(made, items=items)


@pytest.fixture(scope="module")
def embedded(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    return embed(
        dataset, fake_embedder(), DECODER, tmp_path_factory.mktemp("cache"), progress=False
    )


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """Four classes of four; one image of each class is a copy, but for quality, of the next's."""
    root = tmp_path / "mine"
    for label in range(4):
        (root / f"class {label}").mkdir(parents=True)
        for quality in (95, 70, 45, 20):
            seed = (label + 1) % 4 if quality == 45 else label
            data = encoded(picture(seed), "JPEG", quality=quality)
            (root / f"class {label}" / f"q{quality}.jpg").write_bytes(data)
    return root
