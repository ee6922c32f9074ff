"""The calibration of one gallery: from which values on a picture counts as a copy or a part, for a
false-positive rate that is asked for, and which edited copies are then found."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bogv.calibration.choice import (
    TESTS,
    MeasuredThreshold,
    smallest_gallery,
    supported_rate,
)
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

    copy: float
    part: float
    """Upper bounds for the two tests."""
    count: int
    """Images of the gallery for which they hold."""

    def rate(self, images: int, verified: int = MAX_HITS) -> float:
        """As of `FalsePositives`: the bounds grow with the number of images (union bound). Where
        any are verified, that for parts holds for MAX_HITS of them, which calibration verifies."""
        bound = self.copy + (self.part if verified else 0)
        return min(bound * max(images / self.count, 1), 1.0)


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
    copy_bits: MeasuredThreshold
    part_inliers: MeasuredThreshold
    duplicates: int
    """Pairs that are the same picture; they don't count as false positives."""
    duplicate_pairs: list[AlikePair]
    alarming_pairs: list[AlikePair]
    """The most alike that count as false positives: if they show the same thing, the measured rates
    are too high."""
    recall: list[EditRecall]

    @property
    def thresholds(self) -> Thresholds:
        """For searches of this gallery."""
        return Thresholds(copy_bits=self.copy_bits.value, part_inliers=self.part_inliers.value)

    @property
    def met(self) -> bool:
        """Whether the asked rate holds: see `MeasuredThreshold.met`."""
        return self.copy_bits.met and self.part_inliers.met

    @property
    def is_supported(self) -> bool:
        """Whether the searches are enough to tell the asked rate."""
        return supported_rate(self.searches, self.count) <= self.asked_rate

    @property
    def false_positives(self) -> CalibratedRate:
        """Bounds for the whole gallery: of a threshold that holds it, half of the asked rate; of
        another, the upper limit of what was measured."""
        tests = (self.copy_bits, self.part_inliers)
        copy, part = (self.asked_rate / TESTS if each.met else each.high for each in tests)
        return CalibratedRate(copy, part, self.count)

    def summary(self, count: int) -> str:
        """Some sentences, for health. count: images in the gallery now."""
        rate = self.false_positives.rate(count)
        return (
            f"copy up to {self.copy_bits.value} bits, part from {self.part_inliers.value} points:"
            f" wrong in at most {rate:.2%} of searches for pictures that aren't there"
            f" ({self.searches:,} searches of {self.count:,} images, {self.measured_at:%Y-%m-%d})."
            f"{self.shortfall}"
        )

    @property
    def shortfall(self) -> str:
        """Why the asked rate doesn't hold, and what was measured; empty if it does."""
        if self.met:
            return ""
        parts = []
        if not self.is_supported:
            images = smallest_gallery(self.asked_rate)
            parts.append(
                f" {self.asked_rate:.2%} was asked for, which needs {images // 2:,} searches, of a"
                f" gallery of {images:,} images: the shipped thresholds stay."
            )
        else:
            kinds = {"copy": self.copy_bits, "part": self.part_inliers}
            names = " and ".join(name for name, each in kinds.items() if not each.met)
            parts.append(
                f" {self.asked_rate:.2%} was asked for, which no threshold for {names} holds: the"
                " shipped one stays."
            )
        parts.append(
            f" Measured: copy wrong in {_describe(self.copy_bits)}, part in"
            f" {_describe(self.part_inliers)}; other shots of the same thing count as wrong."
        )
        return "".join(parts)


def _describe(measured: MeasuredThreshold) -> str:
    return f"{measured.alarms:,} ({measured.low:.2%} to {measured.high:.2%})"


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
