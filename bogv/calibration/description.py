"""A calibration as lines of text, for the command line."""

from __future__ import annotations

from collections.abc import Iterator

from bogv.calibration.calibration import AlikePair, Calibration
from bogv.copies.thresholds import THRESHOLDS


def describe(found: Calibration) -> list[str]:
    """What was measured, and what to look at."""
    return [
        *_thresholds(found),
        *_listed(
            f"{found.duplicates} pairs are the same picture, and don't count as false positives",
            found.duplicate_pairs,
        ),
        *_listed(
            "The most alike of those that count as false positives; where they show the same thing,"
            " delete one of each pair, or give both one key (or --same folder), and calibrate"
            " again",
            found.alarming_pairs,
        ),
        *_recall(found),
    ]


def _thresholds(found: Calibration) -> Iterator[str]:
    left_out, compared = found.searches, found.count - found.searches
    yield f"{left_out:,} images were left out and searched for among the other {compared:,}."
    if found.rate > found.asked_rate:
        yield (
            f"So many support a false-positive rate of {found.rate:.3%}, not of"
            f" {found.asked_rate:.3%}; where the shipped threshold is stricter, it is kept."
        )
    yield (
        f"copy: up to {found.copy_bits} bits; part: from {found.part_inliers} points; together"
        f" wrong in at most {found.rate:.3%} of searches of {found.count:,} images, on average over"
        " galleries from the same source (split conformal)."
    )
    bits, points = THRESHOLDS.copy_bits, THRESHOLDS.part_inliers
    yield (
        f"The shipped thresholds, {bits} bits and {points} points, were"
        f" wrong in {found.shipped_alarms} of {left_out:,}: in the whole gallery at most"
        f" {found.shipped_upper:.2%}, with 95% confidence."
    )


def _listed(title: str, pairs: list[AlikePair]) -> Iterator[str]:
    if not pairs:
        return
    yield f"{title}:"
    for pair in pairs:
        distance = "over 70" if pair.distance is None else str(pair.distance)
        yield (
            f"  {distance:>7} bits {pair.inliers:5} points"
            f"  {pair.filepaths[0]} ({pair.ids[0]})  {pair.filepaths[1]} ({pair.ids[1]})"
        )


def _recall(found: Calibration) -> Iterator[str]:
    yield "Edited copies found, by hash, by geometry, by either (95% interval):"
    for each in found.recall:
        by_hash, by_geometry, either = (
            n / each.images for n in (each.copy_found, each.part_found, each.found)
        )
        yield (
            f"  {each.edit:28} {by_hash:5.2f} {by_geometry:5.2f} {either:5.2f}"
            f"  ({each.low:.2f} to {each.high:.2f}, {each.images} images)"
        )
