"""Scores and thresholds in words."""

from __future__ import annotations

from datetime import datetime, timezone

from bogv.calibration.background import Rarity
from bogv.calibration.calibration import Calibration
from bogv.calibration.choice import MeasuredThreshold
from bogv.ui.calibration.words import describe_shortfall, describe_thresholds, format_rarity

MET = MeasuredThreshold(value=31, met=True, alarms=0, low=0, high=0.003)
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


def test_a_rarity_is_a_number_of_pairs() -> None:
    for rarity, english, chinese in (
        (Rarity(1 / 4987, 0.0002, False), "1 in 5,000 pairs", "每 5,000 对图片中有 1 对"),
        (Rarity(1 / 796954, 0.0, True), "fewer than 1 in 800,000 pairs", "中不到 1 对"),
        (Rarity(0.684, 0.7, False), "68% of pairs", "68% 的图片对"),
    ):
        assert format_rarity(rarity, "en") == english
        assert chinese in format_rarity(rarity, "zh")


def test_the_rarity_of_a_sample_has_its_error() -> None:
    rarity = Rarity(1 / 5001, 1 / 1669, True)
    text = format_rarity(rarity, "en")
    assert text == "fewer than 1 in 5,000 pairs (95% sure: at most 1 in 1,700)"
    assert "95% 置信：至多每 1,700 对中 1 对" in format_rarity(rarity, "zh")


def test_a_rate_that_holds_needs_no_explanation() -> None:
    found = calibration(0.002, MET, MET)
    assert describe_shortfall(found, "en") == ""
    assert describe_thresholds(found, 6000, "en") == (
        "copy ≤ 31 bits, part ≥ 31 points, wrong ≤ 0.20%"
    )


def test_a_rate_that_no_threshold_holds_is_explained() -> None:
    found = calibration(0.002, MET, UNMET)
    text = describe_shortfall(found, "en")
    assert "to 0.20%: no threshold for parts reaches it, the standard one stays." in text
    assert "part wrong in 40 (1.40% to 6.00%); other shots" in text
    assert "局部没有阈值能达到" in describe_shortfall(found, "zh")
    both = calibration(0.002, UNMET, UNMET)
    assert "副本和局部没有阈值能达到" in describe_shortfall(both, "zh")


def test_searches_that_are_too_few_are_explained() -> None:
    found = calibration(0.001, UNMET, UNMET)
    assert "takes 3,999 searches of a gallery of 7,998 images" in describe_shortfall(found, "en")
    assert "至少 7,998 张图片" in describe_shortfall(found, "zh")
