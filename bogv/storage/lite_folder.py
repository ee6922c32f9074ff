"""Integrity checks of a closed Milvus Lite folder's files, and repair of its indexes."""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from pathlib import Path
from typing import Any

from bogv.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

_FORMAT = 2  # of manifests; Milvus Lite itself doesn't reject newer formats
REMEDY = "Restore it from a backup, or move it away and add the images again."


def is_locked(folder: Path) -> bool:
    """Whether a process has the folder open, which pymilvus' error doesn't say."""
    try:
        with (folder / "LOCK").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return False


def identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode of Milvus Lite's lock file, which change if the folder is replaced; None if
    there is no such file."""
    try:
        found = (folder / "LOCK").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def check(folder: Path) -> None:
    """Raises DatabaseUnavailable for a folder that Milvus Lite would open with missing rows.

    If a manifest can't be read, Milvus Lite uses an older one, ignores missing data files, and then
    deletes those that the older manifest doesn't list. It reports damaged data files itself.
    """
    try:
        folder.mkdir(exist_ok=True)
        collections = [each for each in (folder / "collections").glob("*") if each.is_dir()]
        for collection in collections:
            if (collection / "schema.json").exists():
                _check_manifest(collection)
            elif any(collection.rglob("*.parquet")):
                raise _damaged(folder, f"{collection.name}/schema.json is missing")
            else:  # its creation was interrupted before the schema was written
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
            f"{folder} was written by a newer Milvus Lite (format {version}; this one supports up"
            f" to {_FORMAT}): use the version of bogv that wrote it, or a newer one."
        )
    for file in files:
        if not file.exists():
            raise _damaged(folder, f"{file.relative_to(folder)} is missing")


def _damaged(folder: Path, damage: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"{folder} is damaged: {damage}. {REMEDY}")


def remove_damaged_indexes(folder: Path) -> int:
    """Remove unreadable index files, which Milvus Lite then rebuilds, and return how many.

    Milvus Lite doesn't write them atomically: after a kill or with a full disk, a file may be
    incomplete, and then the collection can't be loaded.
    """
    import faiss

    removed = 0
    for path in folder.glob("collections/*/partitions/*/indexes/*.idx"):
        try:
            faiss.read_index(str(path))
        except (RuntimeError, MemoryError) as error:
            log.warning("The index %s is damaged and will be rebuilt: %s", path.name, error)
            path.unlink()
            removed += 1
    return removed
