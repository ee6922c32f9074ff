"""Milvus Lite folders that are damaged or of another version are rejected or repaired.

Each is opened in a new process, because Milvus Lite caches an opened database until its process
exits.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bogv.errors import BogvError, DatabaseUnavailable
from bogv.storage.milvus import MilvusStore
from tests.support.fakes import lite_search, png
from tests.support.killing import told_by


def opened(folder: Path, *seeds: int) -> str:
    """Open the gallery in a new process, add images and search; return the keys or the error."""
    return told_by(_open, folder, seeds)


def _open(folder: Path, seeds: tuple[int, ...]) -> str:
    try:
        search = lite_search(folder)
    except BogvError as error:
        return f"{type(error).__name__} {error}"
    for seed in seeds:
        search.add(png(seed), f"k{seed}")
    return "|".join(sorted(hit.record.key for hit in search.search(png(1)).hits))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of three images, closed."""
    folder = tmp_path_factory.mktemp("whole")
    assert opened(folder, 1, 2) == "k1|k2"
    assert opened(folder, 3) == "k1|k2|k3"
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(b"\x93garbage" * 100)


COLLECTION = "milvus.db/collections/images_fake0000"
DATA = f"{COLLECTION}/partitions/*/data/*.parquet"


@pytest.mark.parametrize(
    ("pattern", "damage", "message"),
    [
        (f"{COLLECTION}/manifest.json", halve, "manifest.json can't be read"),
        (f"{COLLECTION}/manifest.json", garbage, "manifest.json can't be read"),
        (f"{COLLECTION}/manifest.json", Path.unlink, "manifest.json is missing"),
        (f"{COLLECTION}/schema.json", Path.unlink, "schema.json is missing"),
        (f"{COLLECTION}/schema.json", garbage, "If"),
        ("milvus.db/aliases.json", garbage, "If"),
        (DATA, Path.unlink, ".parquet is missing"),
        (DATA, halve, "If"),
        (DATA, garbage, "If"),
    ],
)
def test_a_damaged_folder_is_rejected_and_not_changed(
    copy: Path, pattern: str, damage: Callable[[Path], None], message: str
) -> None:
    damage(min(copy.glob(pattern)))
    before = {path: path.stat().st_size for path in copy.rglob("*.parquet")}
    answer = opened(copy)
    assert answer.startswith("DatabaseUnavailable")
    assert message in answer
    assert "Restore it from a backup, or move it away" in answer
    assert {path: path.stat().st_size for path in copy.rglob("*.parquet")} == before


@pytest.mark.parametrize("damage", [halve, garbage, Path.unlink])
def test_a_damaged_index_is_rebuilt(copy: Path, damage: Callable[[Path], None]) -> None:
    for path in copy.glob(f"{COLLECTION}/partitions/*/indexes/*"):
        damage(path)
    assert opened(copy) == "k1|k2|k3"


def test_an_interrupted_creation_of_a_gallery_is_completed(copy: Path) -> None:
    collection = copy / COLLECTION
    for path in sorted(collection.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (copy / "milvus.db/aliases.json").unlink()
    assert opened(copy, 1) == "k1"


def test_a_folder_of_a_newer_milvus_lite_is_refused(copy: Path) -> None:
    path = copy / COLLECTION / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "manifest_format_version": 3}))
    assert "was written by a newer Milvus Lite" in opened(copy)


def test_a_file_instead_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "milvus.db").write_bytes(b"an older Milvus Lite kept a file")
    with pytest.raises(DatabaseUnavailable, match="Milvus Lite can't use"):
        MilvusStore.lite(tmp_path, "images")
