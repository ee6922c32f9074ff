"""Catalogue entries and folders of pictures, for tests of datasets."""

from __future__ import annotations

import io
import pickle
from importlib import import_module
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


def write_revisited(
    root: Path, ground: Any = None, protocol: int = pickle.HIGHEST_PROTOCOL
) -> Path:
    """Four gallery photos and one query, whose box is the right half."""
    pictures(root / "jpg", *(f"{name}.jpg" for name in ("easy_1", "hard_1", "junk_1", "other_1")))
    query = Image.new("RGB", (8, 6), (255, 0, 0))
    query.paste((0, 0, 255), (4, 0, 8, 6))
    query.save(root / "jpg" / "all_souls_000013.jpg", quality=100, subsampling=0)
    answer = {
        "bbx": [4.2, 0.0, 8.0, 5.9],
        "easy": np.array([0]),
        "hard": [1],
        "junk": np.array([2], dtype=np.int32),
    }
    data = {
        "imlist": ["easy_1", "hard_1", "junk_1", "other_1"],
        "qimlist": ["all_souls_000013"],
        "gnd": [{**answer, **(ground or {})}],
    }
    with (root / "gnd_roxford5k.pkl").open("wb") as file:
        pickle.dump(data, file, protocol=protocol)
    return root


def write_matlab(path: Path, **variables: Any) -> None:
    """A .mat file; lists of texts become cells, as the official files have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = {
        name: np.array(value, dtype=object) if isinstance(value, list) else value
        for name, value in variables.items()
    }
    import_module("scipy.io").savemat(path, cells)  # scipy has no types


def labels(dataset: Dataset) -> list[str | None]:
    return [item.label for item in dataset.items]
