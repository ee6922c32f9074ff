"""`copies` on a small folder: what is searched for, what is taken out, what is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.calibration.edits import CONTROL
from eval.errors import WorkbenchError
from tests.eval.support.copies import measured
from tests.support.fakes import encoded, picture


def test_each_edit_and_each_image_is_searched_for_with_its_original_and_without(
    photo_folder: Path,
) -> None:
    outcome = measured(photo_folder, sample=2, edits=["mirror"])
    result, searches = outcome.result, outcome.searches
    assert (result.gallery, result.sample, result.n) == (12, 2, 4)
    assert (result.absent, result.absent_units) == (12 + 4, 12)
    assert searches["there"].sum() == 12 + 4
    without = outcome.pairs[~outcome.pairs["there"]]
    assert not without["right"].any()
    assert (without["found"] != without["source"]).all()


def test_mirrors_and_jpegs_are_copies_and_the_unedited_exact(photo_folder: Path) -> None:
    outcome = measured(photo_folder, sample=3, edits=["mirror", "jpeg"])
    values = {name: mean.value for name, mean in outcome.result.metrics.items()}
    assert values["recall_copy/none"] == values["recall_copy/mirror"] == 1
    assert values["recall_copy/jpeg:75"] == 1
    assert values["false_copy"] == 0
    control = outcome.pairs[outcome.pairs["right"] & (outcome.pairs["edit"] == CONTROL.edit)]
    assert set(control["kind"]) == {"exact"}


def test_a_copy_of_the_original_is_taken_out_with_it(photo_folder: Path) -> None:
    (photo_folder / "again.png").write_bytes((photo_folder / "03.png").read_bytes())
    (photo_folder / "lossless.webp").write_bytes(encoded(picture(3), "WEBP", lossless=True))
    outcome = measured(photo_folder, sample=15, edits=["mirror"])
    assert outcome.result.metrics["false_exact"].value == 0
    assert outcome.result.metrics["false_copy"].value == 0
    right = outcome.pairs[outcome.pairs["right"]]
    assert not right.duplicated(["query", "there"]).any()


def test_queries_from_outside_the_gallery_are_searched_for_once(photo_folder: Path) -> None:
    rows = [f"{n:02d}.png,{n % 6},{'query' if n < 4 else 'gallery'}" for n in range(12)]
    (photo_folder / "labels.csv").write_text("\n".join(["path,label,role", *rows]))
    outcome = measured(photo_folder, sample=1, edits=["mirror"])
    assert outcome.result.gallery == 8
    outside = outcome.searches[outcome.searches["query"].isin([f"{n:02d}.png" for n in range(4)])]
    assert outside["there"].tolist() == [False] * 4
    assert outcome.result.absent_units == 12
    excused = outcome.pairs[(outcome.pairs["query"] == "00.png") & outcome.pairs["excused"]]
    assert excused["found"].tolist() == ["06.png"]


def test_a_second_run_embeds_nothing_and_gives_the_same(photo_folder: Path) -> None:
    first, again = (measured(photo_folder, sample=2, edits=["crop"]) for _ in range(2))
    assert (first.new, again.new) == (12 + 2 * 5, 0)
    assert again.pairs.equals(first.pairs)
    times = {"seconds"}
    assert again.result.model_dump(exclude=times) == first.result.model_dump(exclude=times)


def test_a_sample_of_none_is_rejected_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="at least 1"):
        measured(tmp_path, sample=0)
