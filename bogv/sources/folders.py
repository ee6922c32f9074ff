"""Finding the image files in folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

from bogv.imaging.decode import SUFFIXES
from bogv.records import NewImage
from bogv.sources.paths import read_file

log = logging.getLogger(__name__)

KeyFrom = Literal["name", "stem", "path", "md5"]

_KEYS: dict[KeyFrom, Callable[[Path], str | None]] = {
    "name": lambda path: path.name,
    "stem": lambda path: path.stem,
    "path": str,
    "md5": lambda _: None,
}


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The given files, and the files below the given folders that have an image's suffix, sorted.

    In folders, hidden files and folders and named pipes are skipped, and links to folders or out of
    the given folder are not followed. Files given directly are included whatever their name, also
    links. Raises FileNotFoundError for a path that doesn't exist.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
        for file in _walk(path) if path.is_dir() else [path]:
            found[file.absolute()] = None
    return list(found)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES or path.is_fifo():
                continue  # opening a named pipe would wait for ever
            if path.is_symlink() and not _leads_below(path, folder):
                log.warning("Skipped a link out of %s: %s", folder, path)
                continue
            yield path


def _leads_below(link: Path, folder: Path) -> bool:
    try:
        return link.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # a loop of links
        return False


def new_images(
    paths: Iterable[Path], max_bytes: int, key_from: KeyFrom = "md5"
) -> Iterator[NewImage]:
    """Files as images to be added, each read only when the pipeline needs it."""
    for path in paths:
        yield NewImage(partial(read_file, path, max_bytes), str(path), _KEYS[key_from](path))
