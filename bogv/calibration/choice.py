"""Chooses thresholds for a rate of false positives, from searches with images left out.

Such a query is what a new picture from the same source would be, so the split-conformal bound holds
(Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005): of n + 1 exchangeable
searches, the new one is among the j most alike with probability j / (n + 1) at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from bogv.calibration.binomial import interval
from bogv.calibration.false_positives import LeftOutSearch
from bogv.copies.thresholds import THRESHOLDS

TESTS = 2
"""The hash and the geometry; each gets half of the rate (Bonferroni)."""
COPY_BITS = range(THRESHOLDS.copy_bits, 15, -1)
"""The shipped threshold is the loosest; below 16 bits, copies with a lower quality are missed."""
PART_INLIERS = range(THRESHOLDS.part_inliers, 61)
"""The shipped threshold is the loosest; few parts have more than 60 points that agree."""


class MeasuredThreshold(BaseModel):
    """A threshold, and how often it was wrong."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: int = Field(ge=0)
    met: bool
    """It is the loosest one that holds its half of the asked rate (split conformal). If not, it is
    the one that is shipped: either no stricter one does, or the searches are too few to tell."""
    alarms: int = Field(ge=0)
    """Searches in which it was wrong."""
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)
    """95% interval of the share of searches in which it is wrong (Clopper and Pearson); the upper
    limit is that of the whole gallery."""


def searches_needed(rate: float, count: int) -> int:
    """How many images to leave out for a bound of `rate`; at most half of them, which may be too
    few. count: images in the gallery."""
    for left_out in range(1, count // 2):
        if supported_rate(left_out, count) <= rate:
            return left_out
    return count // 2


def smallest_gallery(rate: float) -> int:
    """The number of images of which half support a bound of `rate`."""
    return 2 * (math.ceil(2 * TESTS / rate - 1e-9) - 1)


def supported_rate(left_out: int, count: int) -> float:
    """The least bound that so many searches can give: none of them may be more alike.

    The searches were compared with count - left_out images. With all of them there are
    count / (count - left_out) times as many chances at most (union bound).
    """
    return TESTS / (left_out + 1) * count / (count - left_out)


def choose_copy_bits(
    searches: Sequence[LeftOutSearch], count: int, rate: float
) -> MeasuredThreshold:
    """The loosest of COPY_BITS with which a search of `count` images, for a picture that isn't
    there, is wrong with probability rate / TESTS at most."""

    def count_alarms(bits: int) -> int:
        return sum(each.distance <= bits for each in searches)

    return _choose(COPY_BITS, count_alarms, len(searches), count, rate)


def choose_part_inliers(
    searches: Sequence[LeftOutSearch], count: int, rate: float
) -> MeasuredThreshold:
    """As `choose_copy_bits`, of PART_INLIERS."""

    def count_alarms(inliers: int) -> int:
        return sum(each.inliers >= inliers for each in searches)

    return _choose(PART_INLIERS, count_alarms, len(searches), count, rate)


def _choose(
    candidates: Sequence[int],
    count_alarms: Callable[[int], int],
    searches: int,
    count: int,
    rate: float,
) -> MeasuredThreshold:
    """candidates: the loosest first."""
    share = (count - searches) / count
    # Rounding must not lose the last one: the supported rate itself is asked for, too.
    tolerated = math.floor(rate / TESTS * share * (searches + 1) + 1e-9)
    found = _first(candidates, lambda value: count_alarms(value) < tolerated)
    value = candidates[0] if found is None else found
    alarms = count_alarms(value)
    low, high = interval(alarms, searches)
    return MeasuredThreshold(
        value=value,
        met=found is not None,
        alarms=alarms,
        low=low,
        high=min(high / share, 1.0),
    )


def _first(values: Iterable[int], holds: Callable[[int], bool]) -> int | None:
    return next((value for value in values if holds(value)), None)
