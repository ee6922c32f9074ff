"""The calibration of one gallery: from which values on a picture counts as a copy or a part, for a
false-positive rate that is asked for, and which edited copies are then found."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bogv.calibration.recall import EditRecall
from bogv.copies.thresholds import Thresholds
from bogv.copies.verifier import MAX_HITS
from bogv.errors import StorageUnavailable, reason
from bogv.files import atomic_write

log = logging.getLogger(__name__)

FILE = "calibration.json"


class AlikePair(BaseModel):
    """Two images of the gallery that are alike, to be looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: tuple[int, int]
    filepaths: tuple[str, str]
    distance: int | None
    """Bits of 256; None: over 70."""
    inliers: int


@dataclass(frozen=True)
class CalibratedRate:
    """How often a search says that the gallery has a picture that it doesn't have."""

    bound: float
    count: int
    """Images of the gallery for which it holds."""

    def rate(self, images: int, verified: int = MAX_HITS) -> float:  # noqa: ARG002
        """The bound for so many images: it grows with their number, by the union bound. However
        many are verified: calibration verifies MAX_HITS, as many as a search does."""
        return min(self.bound * max(images / self.count, 1), 1.0)


class Calibration(BaseModel):
    """What was measured; kept with the gallery."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(1, ge=1, le=1)
    fingerprint: str
    measured_at: datetime
    count: int = Field(ge=1)
    """Images in the gallery."""
    searches: int = Field(ge=1)
    """With images that were left out."""
    asked_rate: float
    """Of searches for a picture that isn't there, the share that may say otherwise."""
    rate: float
    """The bound that holds for the thresholds: `asked_rate`, or what the searches support."""
    copy_bits: int
    part_inliers: int
    shipped_alarms: int
    """Searches in which the shipped thresholds say copy or part."""
    shipped_upper: float
    """With 95% confidence, their rate in the whole gallery is at most this."""
    duplicates: int
    """Pairs that are the same picture; they don't count as false positives."""
    duplicate_pairs: list[AlikePair]
    alarming_pairs: list[AlikePair]
    """The most alike that count as false positives: if they are copies, the thresholds are stricter
    than need be."""
    recall: list[EditRecall]

    @property
    def thresholds(self) -> Thresholds:
        """For searches of this gallery."""
        return Thresholds(copy_bits=self.copy_bits, part_inliers=self.part_inliers)

    @property
    def false_positives(self) -> CalibratedRate:
        """As of `bogv.copies.thresholds.FalsePositives`."""
        return CalibratedRate(self.rate, self.count)

    def summary(self, count: int) -> str:
        """One sentence, for health. count: images in the gallery now."""
        rate = self.false_positives.rate(count)
        return (
            f"copy up to {self.copy_bits} bits, part from {self.part_inliers} points: wrong in at"
            f" most {rate:.2%} of searches for pictures that aren't there"
            f" ({self.searches:,} searches of {self.count:,} images, {self.measured_at:%Y-%m-%d})"
        )


def load_calibration(folder: Path | None, fingerprint: str) -> Calibration | None:
    """The kept calibration of a gallery; None without one, or one of other weights."""
    path = folder / FILE if folder is not None else None
    if path is None or not path.is_file():
        return None
    try:
        found = Calibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        log.warning("%s can't be read; the shipped thresholds are used: %s", path.name, error)
        return None
    return found if found.fingerprint == fingerprint else None


def save_calibration(calibration: Calibration, folder: Path) -> None:
    """Keep it. Raises StorageUnavailable."""
    try:
        with atomic_write(folder / FILE) as partial:
            partial.write_text(calibration.model_dump_json(indent=1), "utf-8")
    except OSError as error:
        raise StorageUnavailable(f"The calibration can't be written: {reason(error)}.") from error
