"""Folders of images: finding them, adding them, and the import at start."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Literal

from bogv.imaging.decode import SUFFIXES
from bogv.records import Added, NewImage, md5_of
from bogv.service import ImageSearch
from bogv.sources.sources import read_file, without_links

log = logging.getLogger(__name__)

KeyFrom = Literal["name", "stem", "path", "md5"]

_KEYS: dict[KeyFrom, Callable[[Path], str | None]] = {
    "name": lambda path: path.name,
    "stem": lambda path: path.stem,
    "path": str,
    "md5": lambda _: None,
}


def find_images(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those below the folders named that end like an image, sorted.

    Hidden files and folders are passed over; links to folders, and those that lead out of the
    folder that is walked, are not followed. A file that is named is taken whatever it is called,
    wherever it leads. Raises FileNotFoundError for a path that isn't there.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")
        for file in _below(path) if path.is_dir() else [path]:
            found[file.absolute()] = None
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            if path.is_symlink() and not _leads_below(path, folder):
                log.warning("Passed over, a link out of %s: %s", folder, path)
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
    """Files as images to be added, each read when its turn comes."""
    for path in paths:
        yield NewImage(partial(read_file, path, max_bytes), str(path), _KEYS[key_from](path))


def import_folder(
    search: ImageSearch, inc: Path, pool: Path | None, stop: threading.Event | None = None
) -> list[Added]:
    """Add all images below `inc`; each that is in is moved to `pool`, where its record points.

    Links are passed over: whoever may put files into `inc` has not therefore a right to read all
    that bogv can. Interrupted anywhere, also by `stop`, it does the rest when called again. Raises
    OSError where `pool` can't be written to.
    """
    verdicts = []
    found = [path for path in find_images([inc]) if not path.is_symlink()]
    files = [(path, _target(path, inc, pool) if pool else path) for path in found]
    # What has become a link since is not followed: only those that lead to `inc` itself are.
    base, size = inc.resolve(), search.decoder.max_bytes
    images = (
        NewImage(partial(read_file, _below_base(path, inc, base), size, without_links), str(target))
        for path, target in takewhile(lambda _: stop is None or not stop.is_set(), files)
    )
    for (path, target), added in zip(files, search.add_many(images), strict=False):
        verdicts.append(added)
        if added.error is not None:
            log.warning("Not imported: %s: %s", path, added.error)
        elif target != path:
            _move(path, target)
        if stop is not None and stop.is_set():
            break
    failed = sum(added.error is not None for added in verdicts)
    log.info("Imported %d images from %s, %d failed", len(verdicts) - failed, inc, failed)
    return verdicts


def _move(path: Path, target: Path) -> None:
    """Also to another disk; and at no moment is a part of a file called `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.with_name(f"{target.name}.partial")
        shutil.copy2(path, copy, follow_symlinks=False)
        copy.replace(target)
        path.unlink()


def _below_base(path: Path, inc: Path, base: Path) -> Path:
    return base / path.relative_to(inc.absolute())


def _target(path: Path, inc: Path, pool: Path) -> Path:
    """Its place in the pool; a file of the same name and other bytes is not overwritten."""
    target = _below_base(path, inc, pool.absolute())
    if not target.exists() or target.read_bytes() == path.read_bytes():
        return target
    return target.with_stem(f"{target.stem}-{md5_of(path.read_bytes())[:8]}")
