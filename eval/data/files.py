"""Reading what layouts consist of: folders of images, lists, MATLAB files, boxes.

All raise LayoutError. Lists are untrusted: their entries must stay below the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from eval.data.items import LayoutError, png

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""


def list_images(root: Path) -> list[Path]:
    from bogv.sources.folders import find_images

    try:
        found = find_images([root])
    except FileNotFoundError as error:
        raise LayoutError(f"There is no folder {str(root)!r}.") from error
    if not found:
        raise LayoutError(f"There are no images in {str(root)!r}.")
    return sorted((root / path.relative_to(root.absolute()) for path in found), key=Path.as_posix)


def list_numbered(root: Path, pattern: str) -> list[tuple[str, Path]]:
    """Of the images, those whose stem is the pattern, with its first group; sorted by that."""
    matches = ((re.fullmatch(pattern, path.stem), path) for path in list_images(root))
    named = [(match[1], path) for match, path in matches if match]
    if not named:
        raise LayoutError(f"No image in {str(root)!r} is called {pattern}.")
    return sorted(named, key=lambda pair: (int(pair[0]), pair[1].as_posix()))


def path_below(root: Path, name: str) -> Path:
    """The path of a list's entry. Lists are untrusted: entries must stay below the root."""
    path = root / name
    try:
        inside, there = path.resolve().is_relative_to(root.resolve()), path.is_file()
    except (OSError, ValueError) as error:  # too long a name, a NUL in it
        raise LayoutError(f"{name!r} is not a valid path: {error}.") from error
    if not inside:
        raise LayoutError(f"{name!r} leads out of the folder.")
    if not there:
        raise LayoutError(f"There is no file {name!r}.")
    return path


def read_fields(path: Path, count: int, skip: int = 0) -> Iterator[list[str]]:
    """The fields of each line, separated by blanks, without the first `skip` lines."""
    try:
        lines = path.read_text("utf-8").splitlines()[skip:]
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"The list {path.name} can't be read: {error}.") from error
    for line in lines:
        if fields := line.split():
            if len(fields) != count:
                raise LayoutError(f"{path.name} has a line of {len(fields)} fields: {line!r}.")
            yield fields


def read_matlab(path: Path, *names: str) -> list[Any]:
    """Variables of a .mat file, as arrays of one dimension."""
    try:
        data = import_module("scipy.io").loadmat(path)  # scipy has no types
        return [data[name].ravel() for name in names]
    except Exception as error:  # a damaged file fails in any way
        raise LayoutError(f"{path.name} can't be read: {error}.") from error


def matlab_text(cell: Any) -> str:
    """The one text in a cell or a field; "" where there is none."""
    return str(np.ravel(cell)[0]) if np.size(cell) else ""


def matlab_number(cell: Any) -> int:
    """The one number in a field."""
    try:
        return int(matlab_text(cell))
    except ValueError as error:
        raise LayoutError(f"{matlab_text(cell)!r} is no number.") from error


def to_box(values: ArrayLike) -> Box:
    """A query's box. values: (4,)."""
    box = np.asarray(values, dtype=float).ravel()
    if box.shape != (4,) or not (box[0] < box[2] and box[1] < box[3]):
        raise LayoutError(f"A query's box is not left, top, right, bottom: {box.tolist()}.")
    left, top, right, bottom = (round(side) for side in box.tolist())
    return left, top, right, bottom


def read_crop(path: Path, box: Box) -> bytes:
    """The part of the image inside the box, as PNG."""
    with Image.open(path) as image:
        return png(np.asarray(image.convert("RGB").crop(box)))
