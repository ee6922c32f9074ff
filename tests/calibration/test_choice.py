"""Thresholds for a rate, from searches with images that are left out."""

from __future__ import annotations

import numpy as np
import pytest

from bogv.calibration.choice import (
    choose_copy_bits,
    choose_part_inliers,
    searches_needed,
    smallest_gallery,
    supported_rate,
)
from bogv.calibration.false_positives import Alike, LeftOutSearch
from bogv.copies.thresholds import THRESHOLDS
from bogv.records import Record
from bogv.storage.copies import MAX_DISTANCE

RECORD = Record(1, "k", "/a/x.jpg", "0" * 32, 10, 10, 100, 0)


def searched(distance: int, inliers: int) -> LeftOutSearch:
    near = Alike(RECORD, distance, 0) if distance <= MAX_DISTANCE else None
    return LeftOutSearch(RECORD, near, Alike(RECORD, None, inliers), ())


def test_the_shipped_thresholds_stay_where_they_hold_the_rate() -> None:
    searches = [searched(40 + i, i) for i in range(20)]
    # 10% of 40 images, half of it for each test and half of the gallery compared: 0.025 * 21 < 1.
    assert not choose_copy_bits(searches, 40, 0.1).met, "too few to tell"
    # 0.2 / 2 / 2 * 21 = 1.05: none may be wrong.
    bits = choose_copy_bits(searches, 40, 0.2)
    assert (bits.value, bits.met, bits.alarms, bits.low) == (THRESHOLDS.copy_bits, True, 0, 0)
    points = choose_part_inliers(searches, 40, 0.2)
    assert (points.value, points.met) == (THRESHOLDS.part_inliers, True)


def test_thresholds_tolerate_as_many_searches_as_the_rate_allows() -> None:
    searches = [searched(20 + i, 50 - i) for i in range(20)]
    assert choose_copy_bits(searches, 40, 0.2).value == 19
    assert choose_part_inliers(searches, 40, 0.2).value == 51
    # 0.4 / 2 / 2 * 21 = 2.1: one is wrong.
    bits, points = choose_copy_bits(searches, 40, 0.4), choose_part_inliers(searches, 40, 0.4)
    assert (bits.value, bits.alarms) == (20, 1)
    assert (points.value, points.alarms) == (50, 1)


def test_searches_that_are_too_few_move_nothing() -> None:
    searches = [searched(20 + i, 50 - i) for i in range(20)]
    bits, points = choose_copy_bits(searches, 40, 0.1), choose_part_inliers(searches, 40, 0.1)
    assert (bits.value, bits.met, bits.alarms) == (THRESHOLDS.copy_bits, False, 12)
    assert (points.value, points.met, points.alarms) == (THRESHOLDS.part_inliers, False, 20)
    assert bits.low < 12 / 20 < bits.high
    assert points.high == 1


def test_where_no_threshold_of_the_range_holds_the_rate_the_shipped_one_stays() -> None:
    searches = [searched(4, 400) for _ in range(20)]
    for chosen in (choose_copy_bits(searches, 40, 0.4), choose_part_inliers(searches, 40, 0.4)):
        assert (chosen.met, chosen.alarms, chosen.high) == (False, 20, 1)
    assert choose_part_inliers(searches, 40, 0.4).value == THRESHOLDS.part_inliers


def test_a_new_picture_is_wrong_as_rarely_as_is_promised() -> None:
    """Simulated: pairs of random pictures have random distances, and a gallery has 60."""
    rng, rate, left_out, count = np.random.default_rng(0), 0.3, 20, 60
    wrong = 0
    for _ in range(2000):
        nearest = rng.normal(45, 8, (left_out, count - left_out)).min(axis=1).round()
        most = rng.poisson(25, (left_out, count - left_out)).max(axis=1)
        searches = [searched(int(d), int(i)) for d, i in zip(nearest, most, strict=True)]
        bits = choose_copy_bits(searches, count, rate)
        points = choose_part_inliers(searches, count, rate)
        new = searched(
            int(rng.normal(45, 8, count).min().round()), int(rng.poisson(25, count).max())
        )
        wrong += (bits.met and new.distance <= bits.value) or (
            points.met and new.inliers >= points.value
        )
    assert 0 < wrong / 2000 <= rate


@pytest.mark.parametrize(("rate", "count"), [(0.001, 10_000), (0.01, 3000), (0.05, 400)])
def test_as_few_images_are_left_out_as_the_rate_needs(rate: float, count: int) -> None:
    needed = searches_needed(rate, count)
    assert supported_rate(needed, count) <= rate < supported_rate(needed - 1, count)


def test_a_small_gallery_supports_no_small_rate() -> None:
    assert searches_needed(0.001, 372) == 186
    assert supported_rate(186, 372) == pytest.approx(4 / 187)


@pytest.mark.parametrize("rate", [0.001, 0.003, 0.01, 0.05])
def test_the_smallest_gallery_supports_the_rate_with_half_of_its_images(rate: float) -> None:
    count = smallest_gallery(rate)
    assert supported_rate(count // 2, count) <= rate < supported_rate(count // 2 - 1, count - 2)
