"""What a calibration says of its rates."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from bogv.calibration.calibration import CalibratedRate, Calibration
from bogv.calibration.choice import MeasuredThreshold

MET = MeasuredThreshold(value=25, met=True, alarms=0, low=0, high=0.003)
UNMET = MeasuredThreshold(value=30, met=False, alarms=40, low=0.014, high=0.06)


def calibration(rate: float, copy: MeasuredThreshold, part: MeasuredThreshold) -> Calibration:
    return Calibration(
        fingerprint="f",
        measured_at=datetime(2026, 1, 2, tzinfo=timezone.utc),
        count=6000,
        searches=2000,
        asked_rate=rate,
        copy_bits=copy,
        part_inliers=part,
        duplicates=0,
        duplicate_pairs=[],
        alarming_pairs=[],
        recall=[],
    )


def test_a_rate_that_holds_is_the_one_that_was_asked_for() -> None:
    found = calibration(0.002, MET, MET)
    assert found.false_positives.rate(6000) == 0.002
    assert found.false_positives.rate(6000, 0) == 0.001, "nothing verified"
    assert found.shortfall == ""
    assert found.summary(6000) == (
        "copy up to 25 bits, part from 25 points: wrong in at most 0.20% of searches for pictures"
        " that aren't there (2,000 searches of 6,000 images, 2026-01-02)."
    )
    assert "wrong in at most 0.40%" in found.summary(12_000), "grown since"


def test_a_threshold_that_does_not_hold_it_counts_with_its_measured_limit() -> None:
    found = calibration(0.002, MET, UNMET)
    assert found.false_positives == CalibratedRate(0.001, 0.06, 6000)
    assert found.false_positives.rate(6000) == pytest.approx(0.061)
    assert found.is_supported
    assert found.shortfall == (
        " 0.20% was asked for, which no threshold for part holds: the shipped one stays. Measured:"
        " copy wrong in 0 (0.00% to 0.30%), part in 40 (1.40% to 6.00%); other shots of the same"
        " thing count as wrong."
    )


def test_searches_that_are_too_few_say_how_many_are_needed() -> None:
    unmet = UNMET.model_copy(update={"value": 31})
    found = calibration(0.001, unmet, UNMET)
    assert not found.is_supported
    assert "0.10% was asked for, which needs 3,999 searches, of a gallery of 7,998" in (
        found.shortfall
    )


def test_a_rate_is_at_most_1() -> None:
    assert CalibratedRate(0.5, 0.6, 10).rate(10, 3) == 1
