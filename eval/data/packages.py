"""Datasets of packages: torchvision's dataset classes, scikit-learn's digits.

They raise LayoutError, as layouts do.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.data.items import Item, LayoutError, RawDataset, all_to_all, file_item, png


def torchvision_items(root: Path, name: str, splits: Sequence[Mapping[str, Any]]) -> RawDataset:
    """What torchvision's class `name` has in these splits; image files are read as they are."""
    items = []
    for options in splits:
        data = torchvision_data(root, name, options)
        prefix = "-".join(str(value) for value in options.values()) or "all"
        items += _arrays(data, prefix) if hasattr(data, "data") else _paths(root, data)
    return all_to_all(sorted(items, key=lambda item: item.id))


def torchvision_data(
    root: Path, name: str, options: Mapping[str, Any], download: bool = False
) -> Any:
    """An instance of torchvision's class. Raises LayoutError where its files aren't there."""
    import torchvision.datasets

    kind = getattr(torchvision.datasets, name, None)
    if kind is None:
        raise LayoutError(f"torchvision has no class {name}.")
    try:
        return kind(root, download=download, **options)
    # torchvision's own checks, a failed download, a missing or truncated file.
    except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise LayoutError(f"torchvision's {name}: {error}".rstrip(".") + ".") from error


def _arrays(data: Any, prefix: str) -> list[Item]:
    # CIFAR-10 keeps an array, Fashion-MNIST a tensor.
    pixels = np.asarray(data.data)
    return [
        Item(f"{prefix}/{index:05d}", data.classes[int(label)], partial(png, pixels[index]))
        for index, label in enumerate(data.targets)
    ]


def _paths(root: Path, data: Any) -> list[Item]:
    """The paths of the images, from private attributes: torchvision returns decoded images only."""
    if hasattr(data, "samples"):  # EuroSAT
        paths, labels = zip(*data.samples, strict=True)
    elif hasattr(data, "categories"):  # Caltech-101
        folder = Path(data.root) / "101_ObjectCategories"
        pairs = list(zip(data.y, data.index, strict=True))
        paths = tuple(folder / data.categories[y] / f"image_{n:04d}.jpg" for y, n in pairs)
        labels = tuple(data.y)
    else:  # the Oxford pets call them _images, the others _image_files
        paths = tuple(getattr(data, "_images", None) or data._image_files)
        labels = tuple(data._labels)
    names = getattr(data, "classes", None) or data.categories
    return [
        file_item(root, Path(path), names[label]) for path, label in zip(paths, labels, strict=True)
    ]


def scikit_learn_items(loader: str) -> RawDataset:
    """The digits: 8 × 8 pixels of 0 to 16, spread over 0 to 255."""
    import sklearn.datasets

    data = getattr(sklearn.datasets, loader)()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)  # (n, 8, 8) float -> uint8
    return all_to_all(
        [
            Item(f"{index:04d}", str(label), partial(png, pixels[index]))
            for index, label in enumerate(data.target)
        ]
    )
