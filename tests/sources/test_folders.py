from __future__ import annotations

import os
from pathlib import Path

import pytest

from bogv.sources.folders import find_images, new_images
from tests.support.folders import make_folder, make_links_out


@pytest.fixture
def inc(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "inc")


def test_a_walk_finds_images_in_order_and_skips_other_files(tmp_path: Path) -> None:
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


def test_a_walk_skips_named_pipes_which_would_wait_for_a_writer(inc: Path) -> None:
    before = find_images([inc])
    os.mkfifo(inc / "pipe.jpg")
    assert find_images([inc]) == before


@pytest.mark.parametrize(
    ("key_from", "key"), [("name", "a.png"), ("stem", "a"), ("path", "PATH"), ("md5", None)]
)
def test_the_key_is_made_from_the_chosen_part(inc: Path, key_from: str, key: str | None) -> None:
    path = inc / "a.png"
    [image] = new_images([path], 1000, key_from)  # type: ignore[arg-type]
    assert image.key == (str(path) if key == "PATH" else key)
    assert image.filepath == str(path)


def test_a_walk_follows_no_link_out_of_its_folder(inc: Path) -> None:
    make_links_out(inc)
    (inc / "shoes" / "inside.png").symlink_to("../a.png")
    assert [path.name for path in find_images([inc])] == ["a.png", "bad.jpg", "b.png", "inside.png"]
    assert find_images([inc / "absolute.png"]) == [inc / "absolute.png"]
