"""From when on two pictures are copies, and how often unrelated ones are taken for some."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bogv.copies.geometry import PART, Agreement
from bogv.records import MatchKind
from bogv.storage.copies import MAX_DISTANCE

MAX_BORDERLINE = 4
"""Candidates that geometry confirms in a search that isn't asked to verify."""


@dataclass(frozen=True)
class Thresholds:
    """What proves a match."""

    copy_bits: int = 31
    """Bits in which the hashes of copies differ at most: the limit of PDQ's authors."""
    borderline_bits: int = MAX_DISTANCE
    """Up to here, a copy whose hash differs in more than `copy_bits` may be confirmed by geometry.
    No search finds more distant ones."""
    part_inliers: int = PART
    whole_overlap: float = 0.9
    """Share of each of two pictures that the other must show, to be a copy and not a part."""
    copy_residual: float = 0.5
    """Pixels, as of `Agreement.residual`, of a copy that geometry confirms. Of 260 photos with a
    caption or cropped to 95%, those beyond `copy_bits`, 99% were within it; of two pairs of photos
    that were taken one after the other, one (0.37) was, too, and one (0.60) not."""

    def kind_of(self, distance: int | None, agreement: Agreement | None) -> MatchKind:
        """How a picture relates to a query whose file differs.

        distance: of the hashes, at most `borderline_bits`; None if it is larger, or if one of them
        is of low quality. agreement: None if it wasn't verified.
        """
        if distance is not None and distance <= self.copy_bits:
            return "copy"
        if agreement is None or agreement.inliers < self.part_inliers:
            return "similar"
        overlap = min(agreement.query_overlap, agreement.hit_overlap)
        is_whole = overlap >= self.whole_overlap and agreement.residual <= self.copy_residual
        return "copy" if distance is not None and is_whole else "part"


class FalsePositives(Protocol):
    """How often a search says that the gallery has a picture that it doesn't have."""

    def rate(self, images: int, verified: int) -> float:
        """Of a search that compares one hash with those of so many images, and then verifies so
        many of them; 0 to 1."""


@dataclass(frozen=True)
class PairBounds:
    """Upper bounds of the probability that a pair of unrelated pictures is taken for a match.

    Bounds of Clopper and Pearson (The use of confidence or fiducial limits illustrated in the case
    of the binomial, 1934), one-sided with 95% confidence, measured on photos of the clothing
    dataset and of Grocery Store; a gallery of another kind may have more.
    """

    copy: float = 9.373e-6
    """Hashes within 31 bits in any orientation: 0 of the 319,600 pairs of 800 photos."""
    part: float = 6.199e-4
    """PART inliers, of a search's verified hits, which are the most similar images: 12 of them give
    0.74%, the upper bound (Wilson 1927) of the 7 of 2,850 searches with 810 photos of Grocery
    Store; see eval/README.md. Random pairs agree far more rarely."""

    def rate(self, images: int, verified: int) -> float:
        """As of `FalsePositives`: 1 - (1 - p)^n, as if pairs were independent."""
        return float(1 - (1 - self.copy) ** images * (1 - self.part) ** verified)


THRESHOLDS = Thresholds()
PAIR_BOUNDS = PairBounds()


class Criteria(Protocol):
    """What proves a match in one gallery: what it was calibrated to, or what is shipped."""

    @property
    def thresholds(self) -> Thresholds:
        """Of searches and adds."""

    @property
    def false_positives(self) -> FalsePositives:
        """How often these thresholds are wrong."""


@dataclass(frozen=True)
class FixedCriteria:
    """Criteria that hold for every gallery."""

    thresholds: Thresholds = THRESHOLDS
    false_positives: FalsePositives = PAIR_BOUNDS


SHIPPED = FixedCriteria()
