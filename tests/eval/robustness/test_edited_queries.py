from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bogv.calibration.edits import CONTROL, apply_edit, edit_variants
from bogv.imaging.decoder import Decoder
from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from eval.robustness.edited_queries import make_edited_queries
from eval.robustness.result import notes
from tests.eval.support.retrieval import DECODER
from tests.eval.support.robustness import measured, values
from tests.support.fakes import encoded, picture, png


def test_the_order_of_the_files_changes_no_question(photo_folder: Path) -> None:
    dataset = load("folder", photo_folder)
    backwards = replace(dataset, items=dataset.items[::-1])
    edited, again = (
        make_edited_queries(each, edit_variants(["crop"]), 5, 3, DECODER)
        for each in (dataset, backwards)
    )
    assert [item.id for item in again.dataset.items] == [item.id for item in edited.dataset.items]
    query = edited.dataset.queries[2]
    assert again.dataset.items[query].read() == edited.dataset.items[query].read()
    question = edited.questions[query]
    original = edited.dataset.items[question.original]
    image = DECODER.decode_upright(original.read())[0]
    assert edited.dataset.items[query].read() == apply_edit(image, question.variant, 3, original.id)


def test_the_control_is_the_originals_own_bytes(photo_folder: Path) -> None:
    edited = make_edited_queries(
        load("folder", photo_folder), edit_variants(["crop"]), 5, 0, DECODER
    )
    controls = [query for query, each in edited.questions.items() if each.variant == CONTROL]
    items = edited.dataset.items
    assert len(controls) == 5
    for query in controls:
        assert items[query].read() == items[edited.questions[query].original].read()


def test_copies_with_the_same_bytes_or_pixels_count_as_the_original(photo_folder: Path) -> None:
    (photo_folder / "00 same bytes.png").write_bytes(png(3))
    (photo_folder / "00 same pixels.bmp").write_bytes(encoded(picture(3), "BMP"))
    outcome = measured(photo_folder, edits=["jpeg"])
    assert outcome.result.sample_with_copies == 3
    of_three = [
        query_result for query_result in outcome.query_results if query_result.image == "03.png"
    ]
    assert {query_result.rank for query_result in of_three} == {1}
    assert {query_result.found_id for query_result in of_three} == {
        "00 same bytes.png"
    }  # the first of equals
    assert values(outcome)["hit_rate@1/none"] == 1
    [note] = notes(outcome.result)
    assert note.startswith("DUPLICATES: 3 of the 14 edited images")


def test_an_edited_image_that_cannot_be_read_names_its_original(photo_folder: Path) -> None:
    small = max(path.stat().st_size for path in photo_folder.iterdir())
    with pytest.raises(DatasetError, match=r"the image '\d\d.png \(noise:10\)' can't be used"):
        measured(photo_folder, decoder=Decoder(small, 1_000_000), edits=["noise"])


def test_a_picture_is_edited_as_bogv_sees_it(tmp_path: Path) -> None:
    """Upright, and white where it is transparent."""
    photo_folder = tmp_path / "odd"
    photo_folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    (photo_folder / "turned.jpg").write_bytes(encoded(picture(1), "JPEG", exif=exif))
    clear = Image.new("RGBA", (64, 64))
    (photo_folder / "clear.png").write_bytes(encoded(clear))
    edited = make_edited_queries(
        load("folder", photo_folder), edit_variants(["resize"]), 2, 0, DECODER
    )
    shown = {
        edited.dataset.items[query].id: DECODER.decode_upright(edited.dataset.items[query].read())[
            0
        ]
        for query in edited.dataset.queries
    }
    assert shown["turned.jpg (resize:50)"].size == (120, 160)
    assert shown["clear.png (resize:50)"].getpixel((5, 5)) == (255, 255, 255)
