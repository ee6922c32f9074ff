"""Tells which new images are the same picture as one that is there before, by their hashes."""

from __future__ import annotations

from collections.abc import Mapping

from bogv.copies.candidates import find_candidates, find_candidates_of_each, select_candidates
from bogv.copies.thresholds import THRESHOLDS, Thresholds
from bogv.records import CopyCandidate, Match, NearDuplicate, Picture, Record
from bogv.storage.copies import MAX_DISTANCE, MAX_MATCHES, nearest_of_each
from bogv.storage.hamming import HashIndex
from bogv.storage.milvus import MilvusStore


class NearDuplicates:
    """Those of the images of a batch, in the gallery and earlier in the batch.

    pictures: of the images that seem to be new, with the MD5s of their files, by id: they are
    looked up at once. Raises DatabaseUnavailable, as `find` does.
    """

    def __init__(
        self,
        store: MilvusStore,
        pictures: Mapping[int, tuple[Picture, str]],
        thresholds: Thresholds = THRESHOLDS,
    ) -> None:
        self._store = store
        self._copy_bits = thresholds.copy_bits
        found = find_candidates_of_each(store, list(pictures.values())) if pictures else []
        self._stored = dict(zip(pictures, found, strict=True))
        self._batch = HashIndex()
        self._records: dict[int, Record] = {}

    def find(self, image_id: int, picture: Picture, md5: str) -> NearDuplicate | None:
        """The nearest image that is the same picture; an equal file before all others."""
        if image_id not in self._stored:
            self._stored[image_id] = find_candidates(self._store, picture, md5)
        found = self._batch.search(picture.hashes, MAX_DISTANCE, MAX_MATCHES)
        in_batch = select_candidates(picture, md5, nearest_of_each(found), self._records)
        candidates = [
            each
            for each in (*self._stored[image_id], *in_batch)
            if each.record.id != image_id and (each.exact or each.match.distance <= self._copy_bits)
        ]
        return min(map(_near_duplicate, candidates), key=_order, default=None)

    def note(self, record: Record, picture: Picture) -> None:
        """Of an image that is about to be written, for the later ones of the batch."""
        self._records[record.id] = record
        self._batch.put([record.id], picture.hashes[:1], [picture.quality])


def _near_duplicate(candidate: CopyCandidate) -> NearDuplicate:
    found = candidate.match
    match = (
        Match("exact", 0, 1)
        if candidate.exact
        else Match("copy", found.distance, found.orientation)
    )
    return NearDuplicate(candidate.record.id, candidate.record.key, match)


def _order(found: NearDuplicate) -> tuple[bool, int, int]:
    return found.match.kind != "exact", found.match.distance or 0, found.id
