from __future__ import annotations

import os
from pathlib import Path

import pytest

from bogv.errors import FileMissing, PathNotAllowed, TooLarge
from bogv.sources.sources import Sources

LIMIT = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes(b"cat")
    (tmp_path / "images-private").mkdir()
    (tmp_path / "images-private" / "dog.jpg").write_bytes(b"dog")
    return folder


@pytest.fixture
def fenced(root: Path) -> Sources:
    return Sources([root], LIMIT)


def test_a_file_below_a_root_is_read(fenced: Sources, root: Path) -> None:
    assert fenced.from_path(str(root / "cat.jpg")) == b"cat"


@pytest.mark.parametrize(
    "path",
    ["../images-private/dog.jpg", "/etc/passwd", "../images-private", "x\0y", "/proc/self/environ"],
)
def test_a_path_outside_the_roots_is_refused(fenced: Sources, root: Path, path: str) -> None:
    with pytest.raises(PathNotAllowed):
        fenced.from_path(str(root / path))


def test_a_relative_path_is_refused(
    fenced: Sources, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    with pytest.raises(PathNotAllowed, match="absolute"):
        fenced.from_path("cat.jpg")


def test_a_link_out_of_the_roots_is_refused(fenced: Sources, root: Path) -> None:
    (root / "link.jpg").symlink_to("/etc/passwd")
    (root / "loop.jpg").symlink_to(root / "loop.jpg")
    for name in ("link.jpg", "loop.jpg"):
        with pytest.raises((PathNotAllowed, FileMissing)):
            fenced.from_path(str(root / name))


def test_a_folder_that_is_a_link_out_of_the_roots_is_refused(fenced: Sources, root: Path) -> None:
    (root / "absolute").symlink_to(root.parent / "images-private")
    (root / "relative").symlink_to("../images-private")
    (root / "twice").symlink_to("relative")
    (root / "environ.jpg").symlink_to("/proc/self/environ")
    (root / "all").symlink_to("/proc/self/root")
    files = ["absolute/dog.jpg", "relative/dog.jpg", "twice/dog.jpg", "environ.jpg"]
    for path in [*files, "all/etc/passwd", "absolute/../images-private/dog.jpg"]:
        with pytest.raises(PathNotAllowed):
            fenced.from_path(str(root / path))


def test_a_link_that_stays_below_the_roots_is_followed(fenced: Sources, root: Path) -> None:
    (root / "album").mkdir()
    (root / "album" / "link.jpg").symlink_to("../cat.jpg")
    (root / "same").symlink_to("album")
    assert fenced.from_path(str(root / "same" / "link.jpg")) == b"cat"


def test_private_paths_are_rejected_below_a_root_by_any_name(root: Path) -> None:
    private = [root / "cache", root / "single.jpg", root / "not there yet"]
    fenced = Sources([root.parent], LIMIT, private=private)
    (root / "cache" / "deep").mkdir(parents=True)
    (root / "cache" / "deep" / "query.jpg").write_bytes(b"a visitor's")
    (root / "single.jpg").write_bytes(b"one file")
    (root / "way").symlink_to("cache/deep")
    (root / "hard.jpg").hardlink_to(root / "single.jpg")
    (root / "cached.jpg").write_bytes(b"cat")
    refused = ["cache/deep/query.jpg", "way/query.jpg", "album/../cache/deep/query.jpg"]
    for path in [*refused, "single.jpg", "hard.jpg", "cache", "cache/none.jpg", "cache/deep/"]:
        with pytest.raises(PathNotAllowed, match="belongs to bogv"):
            fenced.from_path(str(root / path))
    assert fenced.from_path(str(root / "cached.jpg")) == b"cat"
    (root / "not there yet").mkdir()
    with pytest.raises(PathNotAllowed, match="belongs to bogv"):
        fenced.resolve(root / "not there yet")


def test_no_error_shows_a_path_other_than_the_given_one(root: Path) -> None:
    """The one that a link leads to, above all."""
    (root / "inner").mkdir()
    (root / "gone.jpg").symlink_to(root / "inner" / "none.jpg")
    (root / "folder.jpg").symlink_to(root / "inner")
    for name in ("gone.jpg", "folder.jpg"):
        with pytest.raises((FileMissing, PathNotAllowed)) as caught:
            Sources([root], LIMIT).from_path(str(root / name))
        assert str(root) not in str(caught.value)


@pytest.mark.parametrize("changed", ["album", "album/cat.jpg", "."])
def test_a_link_created_between_check_and_open_is_not_followed(
    fenced: Sources, root: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    secret = root.parent / "secret"
    for folder in (root, secret):
        (folder / "album").mkdir(parents=True)
        (folder / "album" / "cat.jpg").write_bytes(folder.name.encode())
    assert fenced.from_path(str(root / "album" / "cat.jpg")) == b"images"
    checked = fenced._paths.resolve

    def then_exchanged(path: str) -> Path:
        resolved = checked(path)
        (root / changed).rename(root.parent / "moved")
        (root / changed).symlink_to(secret / changed)
        return resolved

    monkeypatch.setattr(fenced._paths, "resolve", then_exchanged)
    with pytest.raises((PathNotAllowed, FileMissing)):
        fenced.from_path(str(root / "album" / "cat.jpg"))


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", "/dev/null", "/dev/fd/0", "/dev"])
def test_devices_are_rejected_even_below_a_root(path: str) -> None:
    with pytest.raises((PathNotAllowed, FileMissing)):
        Sources([Path("/dev")], LIMIT).from_path(path)


def test_a_file_that_is_not_regular_is_rejected_without_blocking(
    fenced: Sources, root: Path
) -> None:
    os.mkfifo(root / "pipe.jpg")
    for path in (root / "pipe.jpg", root):
        with pytest.raises(PathNotAllowed, match="not a regular file"):
            fenced.from_path(str(path))


def test_a_missing_file_below_a_root_is_reported_as_missing(fenced: Sources, root: Path) -> None:
    with pytest.raises(FileMissing):
        fenced.from_path(str(root / "no.jpg"))


def test_a_name_too_long_for_any_file_is_a_missing_file(fenced: Sources, root: Path) -> None:
    with pytest.raises(FileMissing):
        fenced.from_path(str(root / ("x" * 300)))


def test_a_file_over_the_limit_is_refused(fenced: Sources, root: Path) -> None:
    (root / "big.jpg").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(TooLarge):
        fenced.from_path(str(root / "big.jpg"))
