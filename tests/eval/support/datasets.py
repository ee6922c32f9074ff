"""Catalogue entries and folders of pictures, for tests of datasets."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.data.catalogue import ExpectedCounts, Spec, read_catalogue
from eval.data.datasets import Dataset


def entry(**changes: Any) -> dict[str, Any]:
    """A valid entry of the catalogue: a folder with labels by subfolder."""
    return {
        "id": "made-up",
        "name": "Made up",
        "kind": "category",
        "source": {"type": "folder", "layout": "subfolders", "where": "Ask Ada for it."},
        "licence": "CC0",
        "terms": "none",
        "homepage": "https://example.org/made-up",
        "protocol": "leave-one-out",
        "headline": "hit_rate@1",
        "overlaps_imagenet": "none",
        "tier": "smoke",
        "citation": "Ada, 1843.",
        **changes,
    }


def spec(layout: str = "subfolders", files: list[Any] | None = None, **changes: Any) -> Spec:
    """A spec whose files lie in a folder."""
    source = {"type": "folder", "layout": layout, "where": "Ask Ada for it.", "files": files or []}
    return Spec.model_validate(entry(**{"source": source, **changes}))


def listed(name: str, **changes: Any) -> Spec:
    """An entry of the real catalogue, but for the counts: the trees made up here are small."""
    return read_catalogue()[name].model_copy(update={"counts": ExpectedCounts(), **changes})


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (8, 6)) -> Path:
    """A picture of one shade, so that its bytes tell which it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, shade)).save(path)
    return path


def pictures(root: Path, *names: str) -> Path:
    for shade, name in enumerate(names):
        picture(root / name, shade)
    return root


def found(dataset: Dataset, query: int) -> set[str]:
    return {dataset.items[index].id for index in dataset.relevant(query)}


def ids(dataset: Dataset) -> list[str]:
    return [item.id for item in dataset.items]


def pixels(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def classes(root: Path, **sizes: int) -> Path:
    names = [f"{label}/{n:03d}.png" for label, size in sizes.items() for n in range(size)]
    return pictures(root, *names)
