from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bogv.folders import find_images, import_folder, new_images
from bogv.service import ImageSearch
from tests.fakes import lite_search, png


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path / "data")
    yield service
    service.close()


@pytest.fixture
def inc(tmp_path: Path) -> Path:
    folder = tmp_path / "inc"
    (folder / "shoes").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(1))
    (folder / "shoes" / "b.png").write_bytes(png(2))
    (folder / "bad.jpg").write_bytes(b"no image")
    return folder


def test_a_walk_takes_images_in_order_and_passes_over_the_rest(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "a.webp", "b/1.png", "notes.txt", ".git/x.png", ".y.png", "b/odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_images([tmp_path, tmp_path / "a.webp", tmp_path / "b" / "odd"])
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "a.webp",
        "b/1.png",
        "b/2.JPG",
        "b/odd",
    ]
    with pytest.raises(FileNotFoundError):
        find_images([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("key_from", "key"), [("name", "a.png"), ("stem", "a"), ("path", "PATH"), ("md5", None)]
)
def test_the_key_is_made_as_asked(inc: Path, key_from: str, key: str | None) -> None:
    path = inc / "a.png"
    [image] = new_images([path], 1000, key_from)  # type: ignore[arg-type]
    assert image.key == (str(path) if key == "PATH" else key)
    assert image.filepath == str(path)


def test_an_import_moves_what_is_in_and_leaves_what_failed(
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


def test_an_import_that_was_interrupted_is_finished_by_the_next(
    search: ImageSearch, inc: Path, tmp_path: Path
) -> None:
    """Added but not moved, or moved by halves: the second run ends where one would have."""
    pool = tmp_path / "pool"
    search.add(png(1), filepath=str(pool / "a.png"))
    pool.mkdir()
    (pool / "a.png").write_bytes(png(1))
    import_folder(search, inc, pool)
    assert not (inc / "a.png").exists()
    assert search.stats().count == 2


def test_without_a_pool_the_images_stay(search: ImageSearch, inc: Path) -> None:
    for _ in range(2):
        import_folder(search, inc, None)
        assert (inc / "a.png").exists()
        assert search.stats().count == 2
