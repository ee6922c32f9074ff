"""The folder of a dataset, where the given one is a level too high or too deep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.data.items import LayoutError


def find_root(given: Path, markers: Sequence[str]) -> Path:
    """The folder that holds one of the markers: the given one, else its parent or a child.

    markers: paths below the dataset's own folder, with wildcards. The given folder if none of
    these holds one, so that the layout says what is missing. Raises LayoutError if the folder is
    missing, can't be read, or if several others hold one.
    """
    if not given.is_dir():
        raise LayoutError(f"There is no folder {str(given)!r}.")
    if not markers or _holds(given, markers):
        return given
    try:
        children = sorted(path for path in given.iterdir() if path.is_dir())
    except OSError as error:
        raise LayoutError(f"The folder {str(given)!r} can't be read: {error}.") from error
    around = [given.absolute().parent, *children]
    found = [folder for folder in around if _holds(folder, markers)]
    if len(found) > 1:
        names = ", ".join(repr(str(folder)) for folder in found)
        raise LayoutError(f"{str(given)!r} could mean any of {names}: name one of them.")
    return found[0] if found else given


def _holds(folder: Path, markers: Sequence[str]) -> bool:
    return any(next(iter(folder.glob(marker)), None) is not None for marker in markers)
