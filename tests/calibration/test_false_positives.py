"""Thresholds from searches with images that are left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bogv.calibration.false_positives import (
    Alike,
    LeftOutSearch,
    choose_thresholds,
    known,
    searches_needed,
    stricter,
    supported_rate,
)
from bogv.copies.thresholds import Thresholds
from bogv.records import Record
from bogv.storage.copies import MAX_DISTANCE

RECORD = Record(1, "k", "/a/x.jpg", "0" * 32, 10, 10, 100, 0)


def thresholds(bits: int, inliers: int) -> Thresholds:
    return Thresholds(copy_bits=bits, part_inliers=inliers)


def searched(distance: int, inliers: int) -> LeftOutSearch:
    near = Alike(RECORD, distance, 0) if distance <= MAX_DISTANCE else None
    return LeftOutSearch(RECORD, near, Alike(RECORD, None, inliers), ())


def test_thresholds_tolerate_as_many_searches_as_the_rate_allows() -> None:
    searches = [searched(40 + i, i) for i in range(20)]
    # 10% of 40 images, half of it for each test and half of the gallery compared: 0.025 * 21 < 1.
    assert choose_thresholds(searches, 40, 0.1) == thresholds(39, 20)
    # 0.4 / 2 / 2 * 21 = 2.1: one of each is wrong.
    chosen = choose_thresholds(searches, 40, 0.4)
    assert chosen == thresholds(40, 19)
    assert sum(each.is_alarm(chosen) for each in searches) == 2


def test_what_is_not_near_at_all_leaves_the_largest_distance_that_is_searched() -> None:
    searches = [searched(MAX_DISTANCE + 1, 0) for _ in range(20)]
    assert choose_thresholds(searches, 1000, 0.1) == Thresholds(
        copy_bits=MAX_DISTANCE, part_inliers=1
    )


def test_a_new_picture_is_wrong_as_rarely_as_is_promised() -> None:
    """Simulated: pairs of random pictures have random distances, and a gallery has 60."""
    rng, rate, left_out, count = np.random.default_rng(0), 0.3, 20, 60
    wrong = 0
    for _ in range(2000):
        nearest = rng.normal(60, 8, (left_out, count - left_out)).min(axis=1).round()
        most = rng.poisson(5, (left_out, count - left_out)).max(axis=1)
        searches = [searched(int(d), int(i)) for d, i in zip(nearest, most, strict=True)]
        chosen = choose_thresholds(searches, count, rate)
        new = searched(
            int(rng.normal(60, 8, count).min().round()), int(rng.poisson(5, count).max())
        )
        wrong += new.is_alarm(chosen)
    assert wrong / 2000 <= rate


@pytest.mark.parametrize(("rate", "count"), [(0.001, 10_000), (0.01, 3000), (0.05, 400)])
def test_as_few_images_are_left_out_as_the_rate_needs(rate: float, count: int) -> None:
    needed = searches_needed(rate, count)
    assert supported_rate(needed, count) <= rate < supported_rate(needed - 1, count)


def test_a_small_gallery_supports_no_small_rate() -> None:
    assert searches_needed(0.001, 372) == 186
    assert supported_rate(186, 372) == pytest.approx(4 / 187)


def test_the_stricter_of_each_threshold_is_taken() -> None:
    assert stricter(thresholds(20, 10), thresholds(31, 40)) == thresholds(20, 40)


def test_images_of_one_file_key_or_folder_are_known_to_be_the_same() -> None:
    other = replace(RECORD, id=2, key="other", md5="1" * 32)
    assert not known(RECORD, other, "key")
    assert known(RECORD, replace(other, key="k"), "key")
    assert known(RECORD, replace(other, md5="0" * 32), "key")
    assert known(RECORD, other, "folder")
    assert not known(RECORD, replace(other, filepath="/b/x.jpg"), "folder")
    bare = replace(RECORD, filepath="x.jpg")
    assert not known(bare, replace(other, filepath="y.jpg"), "folder"), "no folder at all"
