"""The items of a dataset, and what a layout makes of a folder or a package."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class LayoutError(ValueError):
    """The files are not laid out as they should be."""


@dataclass(frozen=True)
class Item:
    """One image of a dataset."""

    id: str
    """Stable and unique: the path relative to the root, else the index."""
    label: str | None
    read: Callable[[], bytes]
    """The encoded image, read when it is asked for. Raises OSError."""


@dataclass(frozen=True)
class Truth:
    """What is right for one query, where labels don't tell: indices into the items."""

    relevant: tuple[int, ...]
    junk: tuple[int, ...] = ()


@dataclass(frozen=True)
class RawDataset:
    """What a layout made of a folder; `queries` and `gallery` are indices into `items`."""

    items: list[Item]
    queries: list[int]
    gallery: list[int]
    truth: Mapping[int, Truth] | None = None
    """By query. None: right is what has the query's label."""
    distractors: int = 0
    """How many gallery items only stand in the way; the catalogue's counts leave them out."""
    by_role: bool = False
    """Whether roles, not the protocol, told queries from gallery."""


def png(pixels: NDArray[np.uint8]) -> bytes:
    """(h, w) or (h, w, 3) uint8 -> PNG; the same pixels give the same bytes (and zlib)."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def file_item(root: Path, path: Path, label: str | None) -> Item:
    return Item(path.relative_to(root).as_posix(), label, path.read_bytes)


def all_to_all(items: list[Item]) -> RawDataset:
    return RawDataset(items, list(range(len(items))), list(range(len(items))))
