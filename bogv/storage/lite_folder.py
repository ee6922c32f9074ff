"""Integrity checks of a Milvus Lite folder, on its files alone, and repair of its indexes."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from bogv.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

_FORMAT = 2  # of manifests; Milvus Lite reads those of a newer format as if they were its own
REMEDY = "Restore it from a backup, or move it away and add the images again."


def is_locked(folder: Path) -> bool:
    """Whether a process has the folder open; the error that pymilvus raises doesn't say so."""
    try:
        with (folder / "LOCK").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False


def identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode of Milvus Lite's lock file, which tell whether a folder was replaced; None:
    there is no such file."""
    try:
        found = (folder / "LOCK").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check(folder: Path) -> None:
    """Raises DatabaseUnavailable for a folder that Milvus Lite would open with rows missing.

    Where a manifest can't be read it takes an older one, ignores data files that are missing, and
    then deletes those that the older manifest doesn't list. Damage inside files it reports itself.
    """
    try:
        folder.mkdir(exist_ok=True)
        collections = [each for each in (folder / "collections").glob("*") if each.is_dir()]
        for collection in collections:
            if (collection / "schema.json").exists():
                _check_manifest(collection)
            elif any(collection.rglob("*.parquet")):
                raise _damaged(folder, f"{collection.name}/schema.json is missing")
            else:  # created by a process that was killed before it had written the schema
                shutil.rmtree(collection)
    except OSError as error:
        raise DatabaseUnavailable(f"Milvus Lite can't use {folder}: {error}.") from error


def _check_manifest(collection: Path) -> None:
    folder, path = collection.parent.parent, collection / "manifest.json"
    if not path.exists():
        if any(collection.rglob("*.parquet")):
            raise _damaged(folder, f"{collection.name}/manifest.json is missing")
        return
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        version = int(manifest["manifest_format_version"])
        files = [
            collection / "partitions" / partition / name
            for partition, kinds in manifest["partitions"].items()
            for kind in ("data_files", "delta_files")
            for name in kinds[kind]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(
            folder, f"{collection.name}/manifest.json can't be read ({error})"
        ) from error
    if version > _FORMAT:
        raise DatabaseUnavailable(
            f"{folder} was written by a newer Milvus Lite (format {version}; this one knows up to"
            f" {_FORMAT}): use the bogv that it was last used with, or a newer one."
        )
    for file in files:
        if not file.exists():
            raise _damaged(folder, f"{file.relative_to(folder)} is missing")


def _damaged(folder: Path, what: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"{folder} is damaged: {what}. {REMEDY}")


def remove_damaged_indexes(folder: Path) -> int:
    """Remove index files that can't be read, which Milvus Lite then builds again; how many.

    It doesn't write them atomically: a kill or a full disk leaves a part of one, and then the
    collection can't be loaded.
    """
    import faiss

    dropped = 0
    for path in folder.glob("collections/*/partitions/*/indexes/*.idx"):
        try:
            faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            log.warning("The index %s is damaged and is built again: %s", path.name, error)
            path.unlink()
            dropped += 1
    return dropped
