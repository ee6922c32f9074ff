"""Measures a gallery's thresholds, and keeps them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from bogv.calibration.calibration import (
    AlikePair,
    Calibration,
    load_calibration,
    save_calibration,
)
from bogv.calibration.choice import choose_copy_bits, choose_part_inliers, searches_needed
from bogv.calibration.edits import edit_variants
from bogv.calibration.false_positives import (
    Alike,
    GalleryImages,
    LeftOutSearch,
    Same,
    search_left_out,
)
from bogv.calibration.recall import EditedSearch, recall_by_edit, search_edited
from bogv.copies.thresholds import PAIR_BOUNDS, THRESHOLDS, FalsePositives, Thresholds
from bogv.copies.verifier import Verifier
from bogv.embedding.embedder import Embedder
from bogv.errors import BogvError, DatabaseUnavailable, InvalidValue, StorageUnavailable
from bogv.imaging.decoder import Decoder
from bogv.imaging.sandbox import core_count
from bogv.records import ID_BITS, Record
from bogv.storage.milvus import ROWS_PER_CALL, MilvusStore
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""(results, what they are, how many) -> the same results, shown as they come."""

RATE = 0.001
MIN_IMAGES = 40
EDITED_IMAGES = 20
CACHED = 1000
"""Pictures whose features are kept: 160 MB at most."""
LISTED = 20
"""Pairs that are kept to be looked at."""


@dataclass(frozen=True)
class CalibrationOptions:
    """What to measure."""

    rate: float = RATE
    images: int | None = None
    """At most so many are left out; None: as many as the rate needs."""
    edited: int = EDITED_IMAGES
    """Images that are edited, in each way."""
    seed: int = 0
    same: Same = "key"
    """What images share that show the same thing: see `known`."""


class Calibrator:
    """Calibrates one gallery. folder: keeps the result, which the next start uses; None: nothing is
    kept."""

    def __init__(
        self,
        store: MilvusStore,
        thumbnails: Thumbnails,
        decoder: Decoder,
        embedder: Embedder,
        folder: Path | None = None,
    ) -> None:
        self._store = store
        self._images = GalleryImages(thumbnails, decoder)
        self._decoder = decoder
        self._embedder = embedder
        self._folder = folder
        self.calibration = load_calibration(folder, embedder.weights.fingerprint)

    @property
    def thresholds(self) -> Thresholds:
        """For searches of the gallery: its own, or those shipped."""
        return self.calibration.thresholds if self.calibration else THRESHOLDS

    @property
    def false_positives(self) -> FalsePositives:
        """How often these thresholds are wrong."""
        return self.calibration.false_positives if self.calibration else PAIR_BOUNDS

    def summary(self, count: int) -> str:
        """One sentence, for health. count: images in the gallery."""
        if self.calibration is not None:
            return self.calibration.summary(count)
        return (
            f"not calibrated; shipped thresholds: copy up to {THRESHOLDS.copy_bits} bits, part from"
            f" {THRESHOLDS.part_inliers} points"
        )

    def run(
        self, options: CalibrationOptions, progress: Progress = lambda each, *_: each
    ) -> Calibration:
        """Measure the gallery, and keep the result. Images that can't be read are logged and left
        out.

        Raises InvalidValue for a rate out of range and a gallery of fewer than MIN_IMAGES images,
        DatabaseUnavailable, StorageUnavailable.
        """
        if not 0 < options.rate < 1:
            raise InvalidValue(f"The rate is {options.rate:g}; it must be between 0 and 1.")
        ids = sorted(self._store.get_ids_between(0, 2**ID_BITS))
        if len(ids) < MIN_IMAGES:
            raise InvalidValue(
                f"The gallery has {len(ids)} images; at least {MIN_IMAGES} are needed to calibrate"
                " it."
            )
        verifier = Verifier(cached=CACHED)
        try:
            left_out = self._search_left_out(verifier, ids, options, progress)
            edited = self._search_edited(verifier, ids, options, progress)
        finally:
            verifier.close()
        if not left_out:
            raise InvalidValue("None of the images that were drawn can be read.")
        fingerprint = self._embedder.weights.fingerprint
        self.calibration = _evaluate(left_out, edited, len(ids), options.rate, fingerprint)
        if self._folder is not None:
            save_calibration(self.calibration, self._folder)
        return self.calibration

    def _search_left_out(
        self,
        verifier: Verifier,
        ids: Sequence[int],
        options: CalibrationOptions,
        progress: Progress,
    ) -> list[LeftOutSearch]:
        needed = min(searches_needed(options.rate, len(ids)), options.images or len(ids))
        drawn = Random(options.seed).sample(ids, needed)  # noqa: S311
        search = search_left_out(
            self._store, self._images, verifier, frozenset(drawn), len(ids), options.same
        )
        records = self._records(drawn)
        return list(progress(_run(search, records), "Left-out searches", len(records)))

    def _search_edited(
        self,
        verifier: Verifier,
        ids: Sequence[int],
        options: CalibrationOptions,
        progress: Progress,
    ) -> list[EditedSearch]:
        drawn = Random(options.seed + 1).sample(ids, min(options.edited, len(ids)))  # noqa: S311
        search = search_edited(
            self._store, self._images, self._decoder, self._embedder, verifier, options.seed
        )
        tasks = [(each, way) for each in self._records(drawn) for way in edit_variants()]
        return list(progress(_run(search, tasks), "Edited copies", len(tasks)))

    def _records(self, ids: Sequence[int]) -> list[Record]:
        return [
            record
            for start in range(0, len(ids), ROWS_PER_CALL)
            for record in self._store.get(ids[start : start + ROWS_PER_CALL])
        ]


def _evaluate(
    left_out: Sequence[LeftOutSearch],
    edited: Sequence[EditedSearch],
    count: int,
    rate: float,
    fingerprint: str,
) -> Calibration:
    copy_bits = choose_copy_bits(left_out, count, rate)
    part_inliers = choose_part_inliers(left_out, count, rate)
    thresholds = Thresholds(copy_bits=copy_bits.value, part_inliers=part_inliers.value)
    duplicates = _pairs((each.query, other) for each in left_out for other in each.duplicates)
    return Calibration(
        fingerprint=fingerprint,
        measured_at=datetime.now(timezone.utc).replace(microsecond=0),
        count=count,
        searches=len(left_out),
        asked_rate=rate,
        copy_bits=copy_bits,
        part_inliers=part_inliers,
        duplicates=len(duplicates),
        duplicate_pairs=duplicates[:LISTED],
        alarming_pairs=_alarming(left_out)[:LISTED],
        recall=recall_by_edit(edited, thresholds),
    )


def _run(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
    """The results in order, by a thread for each core; of images that can't be read, none."""

    def attempt(task: T) -> R | None:
        try:
            return function(task)
        except (DatabaseUnavailable, StorageUnavailable):
            raise
        except BogvError as error:
            log.warning("An image is left out: %s", error)
            return None

    with ThreadPoolExecutor(core_count(), "calibrate") as threads:
        yield from (each for each in threads.map(attempt, tasks) if each is not None)


def _alarming(searches: Sequence[LeftOutSearch]) -> list[AlikePair]:
    """What the shipped thresholds call copies or parts, the nearest and the most agreeing first."""
    near = [e for e in searches if e.nearest and e.distance <= THRESHOLDS.copy_bits]
    agreeing = [e for e in searches if e.agreeing and e.inliers >= THRESHOLDS.part_inliers]
    near.sort(key=lambda each: each.distance)
    agreeing.sort(key=lambda each: -each.inliers)
    found = [(each.query, each.nearest) for each in near]
    found += [(each.query, each.agreeing) for each in agreeing]
    return _pairs((query, other) for query, other in found if other is not None)


def _pairs(found: Iterable[tuple[Record, Alike]]) -> list[AlikePair]:
    """Each pair once, in its first place."""
    pairs = {
        frozenset((query.id, other.record.id)): AlikePair(
            ids=(query.id, other.record.id),
            filepaths=(query.filepath, other.record.filepath),
            distance=other.distance,
            inliers=other.inliers,
        )
        for query, other in reversed(list(found))
    }
    return list(pairs.values())[::-1]
