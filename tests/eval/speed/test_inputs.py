from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.errors import WorkbenchError
from eval.speed import inputs as speed_inputs
from eval.speed.inputs import SMALL, find_sources, make_inputs


def test_inputs_are_distinct_of_their_size_and_the_same_for_the_same_seed(
    paths: list[Path], tmp_path: Path
) -> None:
    first, again, other = (
        [path.read_bytes() for path in make_inputs(paths, tmp_path / name, 8, (160, 120), seed)]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert len({*first, *other}) == 16
    for path in (tmp_path / "a").iterdir():
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (160, 120))


def test_inputs_resemble_their_source_images(paths: list[Path], tmp_path: Path) -> None:
    [made] = make_inputs(paths[:1], tmp_path / "made", 1, SMALL, 0)
    with Image.open(made) as image, Image.open(paths[0]) as source:
        means = [np.asarray(each.convert("RGB")).mean((0, 1)) for each in (image, source)]
    assert np.abs(means[0] - means[1]).max() < 40


def test_without_a_folder_the_samples_are_taken(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_inputs, "make_samples", lambda _: paths)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkbenchError, match="no images"):
        find_sources(tmp_path / "empty", tmp_path)
    assert find_sources(None, tmp_path / "samples") == ("bogv's samples", paths)


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(WorkbenchError, match="broken"):
        make_inputs([broken], tmp_path / "made", 1, SMALL, 0)
