"""Counting which edited copies are found."""

from __future__ import annotations

import pytest

from bogv.calibration.binomial import interval
from bogv.calibration.edits import EditVariant
from bogv.calibration.recall import EditedSearch, recall_by_edit
from bogv.copies.thresholds import Thresholds

CROP, JPEG = EditVariant("crop", "50"), EditVariant("jpeg", "75")


def test_an_edit_is_found_by_its_hash_or_by_its_points() -> None:
    searches = [
        EditedSearch(CROP, None, 10),
        EditedSearch(JPEG, 31, 0),
        EditedSearch(CROP, 32, 9),
        EditedSearch(CROP, 30, 12),
    ]
    crop, jpeg = recall_by_edit(searches, Thresholds(copy_bits=31, part_inliers=10))
    assert (crop.edit, crop.images, crop.copy_found, crop.part_found, crop.found) == (
        *("crop:50", 3),
        *(1, 2, 2),
    )
    assert (crop.low, crop.high) == pytest.approx(interval(2, 3))
    assert (jpeg.edit, jpeg.copy_found, jpeg.part_found, jpeg.found) == ("jpeg:75", 1, 0, 1)
