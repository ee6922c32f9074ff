"""A calibration as lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from bogv.calibration.calibration import AlikePair, Calibration


def describe_calibration(found: Calibration) -> list[str]:
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
    kinds = {
        f"copy: up to {found.copy_bits.value} bits": found.copy_bits,
        f"part: from {found.part_inliers.value} points": found.part_inliers,
    }
    for name, each in kinds.items():
        yield (
            f"{name}: wrong in {each.alarms:,} of these searches; in {each.low:.2%} to"
            f" {each.high:.2%} of those in the whole gallery (95% interval)."
        )
    if found.met:
        yield (
            f"Together they are wrong in at most {found.asked_rate:.3%} of searches of"
            f" {found.count:,} images, on average over galleries from the same source (split"
            " conformal)."
        )
    else:
        rate = found.false_positives.rate(found.count)
        yield f"{found.shortfall.strip()} Together they are wrong in at most {rate:.2%}."


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
