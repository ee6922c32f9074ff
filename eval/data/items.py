"""The items of a dataset, and the result of reading a layout."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class LayoutError(ValueError):
    """The files don't have the expected layout."""


@dataclass(frozen=True)
class Item:
    """One image of a dataset."""

    id: str
    """Stable and unique: the path relative to the root, else the index."""
    label: str | None
    read: Callable[[], bytes]
    """Reads the encoded image. Raises OSError."""


@dataclass(frozen=True)
class Truth:
    """The ground truth of one query, if not given by labels: indices into the items."""

    relevant: tuple[int, ...]
    junk: tuple[int, ...] = ()


@dataclass(frozen=True)
class RawDataset:
    """The result of reading a layout; `queries` and `gallery` are indices into `items`."""

    items: list[Item]
    queries: list[int]
    gallery: list[int]
    truth: Mapping[int, Truth] | None = None
    """By query. None: images with the query's label are relevant."""
    distractors: int = 0
    """The number of distractors in the gallery, which the catalogue's counts exclude."""
    by_role: bool = False
    """Whether roles, not the protocol, separate queries from the gallery."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(h, w) or (h, w, 3) uint8 -> PNG; the same pixels give the same bytes (and zlib)."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def file_item(root: Path, path: Path, label: str | None) -> Item:
    return Item(path.relative_to(root).as_posix(), label, path.read_bytes)


def all_to_all(items: list[Item]) -> RawDataset:
    return RawDataset(items, list(range(len(items))), list(range(len(items))))
