"""From which values on a picture counts as a copy of another, or as showing a part of it."""

from __future__ import annotations

from dataclasses import dataclass

from bogv.copies.geometry import PART

COPY_BITS = 31
"""Among 800 photos of two datasets, no two different ones were within 31 bits."""


@dataclass(frozen=True)
class Thresholds:
    """Those shipped, unless `python -m bogv calibrate` has measured a gallery's own."""

    copy_bits: int = COPY_BITS
    """At most so many bits of 256 differ between the hashes of a copy."""
    part_inliers: int = PART
    """At least so many points agree between pictures that show the same thing."""


SHIPPED = Thresholds()
