from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bogv.folder_import import import_folder
from bogv.records import md5_of
from bogv.service import ImageSearch
from bogv.sources.folders import find_images
from tests.support.fakes import lite_search, png
from tests.support.folders import make_folder, make_links_out


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path / "data")
    yield service
    service.close()


@pytest.fixture
def inc(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "inc")


def test_an_import_moves_added_images_and_leaves_failed_ones(
    search: ImageSearch, inc: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    import_folder(search, inc, pool)
    assert [path.name for path in inc.rglob("*") if path.is_file()] == ["bad.jpg"]
    assert (pool / "shoes" / "b.png").read_bytes() == png(2)
    paths = {record.filepath for record in search.page().records}
    assert paths == {str(pool / "a.png"), str(pool / "shoes" / "b.png")}


def test_an_import_overwrites_no_other_image(
    search: ImageSearch, inc: Path, tmp_path: Path
) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "a.png").write_bytes(png(9))
    import_folder(search, inc, pool)
    assert (pool / "a.png").read_bytes() == png(9)
    [beside] = pool.glob("a-*.png")
    assert beside.read_bytes() == png(1)
    assert str(beside) in {record.filepath for record in search.page().records}


def test_an_interrupted_import_is_finished_by_the_next(
    search: ImageSearch, inc: Path, tmp_path: Path
) -> None:
    """One image was added and copied to the pool, but not removed from the folder."""
    pool = tmp_path / "pool"
    search.add(png(1), filepath=str(pool / "a.png"))
    pool.mkdir()
    (pool / "a.png").write_bytes(png(1))
    import_folder(search, inc, pool)
    assert not (inc / "a.png").exists()
    assert search.stats().count == 2


def test_without_a_pool_the_images_are_not_moved(search: ImageSearch, inc: Path) -> None:
    for _ in range(2):
        import_folder(search, inc, None)
        assert (inc / "a.png").exists()
        assert search.stats().count == 2


def test_an_import_follows_no_link(search: ImageSearch, inc: Path, tmp_path: Path) -> None:
    secret = make_links_out(inc)
    pool = tmp_path / "pool"
    added = import_folder(search, inc, pool)
    assert [each.status for each in added] == ["created", "failed", "created"]
    assert not [path for path in pool.rglob("*") if path.is_symlink()]
    assert md5_of(png(7)) not in {record.md5 for record in search.page().records}
    assert secret.exists()


@pytest.mark.parametrize("changed", ["a.png", "shoes"])
def test_a_link_created_after_the_walk_is_not_followed(
    search: ImageSearch,
    inc: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: str,
) -> None:
    secret = tmp_path / "elsewhere" / "secret.png"
    secret.parent.mkdir()
    for path in (secret, secret.parent / "b.png"):
        path.write_bytes(png(7))
    original = find_images

    def find_then_replace(paths: list[Path]) -> list[Path]:
        found = original(paths)
        (inc / changed).rename(tmp_path / "moved")
        (inc / changed).symlink_to(secret if changed == "a.png" else secret.parent)
        return found

    monkeypatch.setattr("bogv.folder_import.find_images", find_then_replace)
    import_folder(search, inc, tmp_path / "pool")
    assert md5_of(png(7)) not in {record.md5 for record in search.page().records}


def test_the_folder_to_import_from_may_be_a_link(
    search: ImageSearch, inc: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").symlink_to(inc)
    import_folder(search, tmp_path / "in", None)
    paths = {record.filepath for record in search.page().records}
    assert paths == {str(tmp_path / "in" / "a.png"), str(tmp_path / "in" / "shoes" / "b.png")}
