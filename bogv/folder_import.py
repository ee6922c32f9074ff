"""Import of a folder: adds its images and moves them to the pool."""

from __future__ import annotations

import errno
import logging
import shutil
import threading
from functools import partial
from itertools import takewhile
from pathlib import Path

from bogv.files import atomic_write
from bogv.records import Added, NewImage, md5_of
from bogv.service import ImageSearch
from bogv.sources.folders import find_images
from bogv.sources.paths import open_without_links, read_file

log = logging.getLogger(__name__)


def import_folder(
    search: ImageSearch, inc: Path, pool: Path | None, stop: threading.Event | None = None
) -> list[Added]:
    """Add all images below `inc`, move those added to `pool`, and return a result for each.

    A record's filepath is its image's path in `pool`, or in `inc` if `pool` is None. Symbolic links
    are skipped: someone who may write to `inc` must not read other files with bogv's permissions.
    After an interruption (such as by `stop`), the next call continues. Raises OSError if `pool`
    isn't writable.
    """
    results = []
    found = [path for path in find_images([inc]) if not path.is_symlink()]
    files = [(path, _target_path(path, inc, pool) if pool else path) for path in found]
    # Links in the path of `inc` itself are resolved; links created below it later are refused.
    base = inc.resolve()
    read = partial(read_file, max_bytes=search.decoder.max_bytes, opener=open_without_links)
    images = (
        NewImage(partial(read, _rebase(path, inc, base)), str(target))
        for path, target in takewhile(lambda _: stop is None or not stop.is_set(), files)
    )
    for (path, target), added in zip(files, search.add_many(images), strict=False):
        results.append(added)
        if added.error is not None:
            log.warning("Not imported: %s: %s", path, added.error)
        elif target != path:
            _move(path, target)
        if stop is not None and stop.is_set():
            break
    failed = sum(added.error is not None for added in results)
    log.info("Imported %d images from %s, %d failed", len(results) - failed, inc, failed)
    return results


def _move(path: Path, target: Path) -> None:
    """Move a file, also to another file system; `target` is never incomplete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with atomic_write(target) as partial:
            shutil.copy2(path, partial, follow_symlinks=False)
        path.unlink()


def _rebase(path: Path, inc: Path, base: Path) -> Path:
    return base / path.relative_to(inc.absolute())


def _target_path(path: Path, inc: Path, pool: Path) -> Path:
    """The path in the pool, with a suffix if another file already has that name."""
    target = _rebase(path, inc, pool.absolute())
    if not target.exists() or target.read_bytes() == path.read_bytes():
        return target
    return target.with_stem(f"{target.stem}-{md5_of(path.read_bytes())[:8]}")
