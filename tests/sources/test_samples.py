"""The demo's sample images: what is written, when, and what is left alone."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

from bogv.sources.samples import EDITS, SAMPLE_QUERIES, make_samples

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the whole set, made once; tests only read it."""
    folder = tmp_path_factory.mktemp("made")
    make_samples(folder)
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A folder with the whole set that a test may change."""
    return shutil.copytree(made, tmp_path / "copied")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_there_are_at_least_sixty_small_jpegs_and_nothing_else(made: Path) -> None:
    paths = list(made.iterdir())
    assert len(paths) >= 60
    assert sum(path.stat().st_size for path in paths) < 6_000_000
    for path in paths:
        with Image.open(path) as image:
            image.load()  # decodes every pixel
            assert (image.format, image.mode) == ("JPEG", "RGB"), path.name
            assert 150 <= min(image.size) <= max(image.size) <= 640, path.name


def test_every_photograph_has_every_edit_and_all_files_differ(made: Path) -> None:
    files = contents(made)
    originals = [name for name in files if "-" not in name]
    assert len(originals) >= 14
    edited = {f"{Path(name).stem}-{edit}.jpg" for name in originals for edit in EDITS}
    assert files.keys() == {*originals, *edited}
    assert len(set(files.values())) == len(files)


def test_rotated_photographs_have_no_black_corners(made: Path) -> None:
    # Gravel has no dark area of its own at its corners.
    with Image.open(made / "gravel-rotated.jpg") as image:
        width, height = image.size
        for x, y in ((0, 0), (width - 8, 0), (0, height - 8), (width - 8, height - 8)):
            assert max(image.convert("L").crop((x, y, x + 8, y + 8)).tobytes()) > 60


def test_the_paths_are_sorted_and_a_second_call_writes_nothing(copied: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copied.iterdir()}
    paths = make_samples(copied)
    assert paths == sorted(before)
    assert {path: path.stat().st_mtime_ns for path in copied.iterdir()} == before


def test_a_deleted_file_is_regenerated_with_the_same_bytes(made: Path, copied: Path) -> None:
    for name in ("cat.jpg", "cat-rotated.jpg", "flower-with-text.jpg"):
        (copied / name).unlink()
    make_samples(copied)
    assert contents(copied) == contents(made)


def test_an_existing_file_is_kept(copied: Path) -> None:
    (copied / "cat.jpg").write_bytes(b"the user's own")
    assert copied / "cat.jpg" in make_samples(copied)
    assert (copied / "cat.jpg").read_bytes() == b"the user's own"


def test_other_files_are_not_returned(copied: Path) -> None:
    strangers = {copied / ".cat.jpg.1.part", copied / "holiday.jpg"}
    for path in strangers:
        path.write_bytes(b"half a picture")
    assert not strangers & set(make_samples(copied))


def test_an_interrupted_write_leaves_no_file_and_the_next_call_makes_it(
    made: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(_image: Image.Image, path: Path, *_args: Any, **_options: Any) -> NoReturn:
        path.write_bytes(b"half a picture")
        raise KeyboardInterrupt

    (copied / "cat.jpg").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", write_half)
        with pytest.raises(KeyboardInterrupt):
            make_samples(copied)
    assert contents(copied).keys() == contents(made).keys() - {"cat.jpg"}
    make_samples(copied)
    assert contents(copied) == contents(made)


def test_another_process_makes_the_same_bytes_and_imports_none_of_the_packages(
    made: Path, tmp_path: Path
) -> None:
    script = (
        "import sys, pathlib; from bogv.sources.samples import make_samples;"
        "make_samples(pathlib.Path(sys.argv[1]));"
        "print({'sklearn', 'skimage', 'matplotlib', 'numpy'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "new" / "folder")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
    assert contents(tmp_path / "new" / "folder") == contents(made)


def test_the_example_queries_are_in_the_set(made: Path) -> None:
    assert len(set(SAMPLE_QUERIES)) == 5
    assert set(SAMPLE_QUERIES) <= contents(made).keys()


def test_photographs_of_a_missing_package_are_skipped_with_a_warning(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def without_sklearn(name: str) -> ModuleSpec | None:
        return None if name == "sklearn" else find_spec(name)

    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", without_sklearn)
    for path in copied.glob("flower*.jpg"):
        path.unlink()
    names = {path.name for path in make_samples(copied)}
    assert "cat.jpg" in names
    assert not any(name.startswith("flower") for name in names)
    assert "sklearn has no datasets/images/flower.jpg" in caplog.text


def test_finding_no_photograph_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(FileNotFoundError, match="No sample photographs were found: install"):
        make_samples(tmp_path)
