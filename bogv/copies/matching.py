"""Tells how the hits of a search relate to its query, and adds those that the network missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bogv.copies.candidates import find_candidates
from bogv.copies.geometry import Agreement
from bogv.copies.stored import decode_thumbnail
from bogv.copies.thresholds import MAX_BORDERLINE, SHIPPED, Criteria
from bogv.copies.verifier import MAX_HITS, Verifier
from bogv.errors import NotFound
from bogv.imaging.decoder import Decoder
from bogv.records import CopyCandidate, Hit, Match, Picture, Pixels, Record, Vectors, Verdict
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails

_RANKS = {"exact": 0, "copy": 1, "part": 2, "similar": 3}


@dataclass(frozen=True)
class Evidence:
    """What is known of images of the gallery beside their scores for one query, by id."""

    md5: str
    """Of the query's file."""
    reduced: Pixels | None = None
    """The query, as of `Picture`; None: it has no readable picture, so nothing can be found."""
    candidates: Mapping[int, CopyCandidate] = field(default_factory=dict)
    """The nearest first."""
    agreements: Mapping[int, Agreement] = field(default_factory=dict)
    """Of the images that were verified."""


class Matcher:
    """Compares queries with the images of one gallery. Thread-safe.

    criteria: asked anew for each match and verdict. The methods that read the gallery raise
    DatabaseUnavailable, StorageUnavailable, Unavailable.
    """

    def __init__(
        self,
        store: MilvusStore,
        thumbnails: Thumbnails,
        decoder: Decoder,
        criteria: Criteria = SHIPPED,
    ) -> None:
        self._store = store
        self._thumbnails = thumbnails
        self._decoder = decoder
        self._criteria = criteria
        self._verifier = Verifier()

    def close(self) -> None:
        """Wait for the running verifications."""
        self._verifier.close()

    def find(self, picture: Picture, md5: str, without: int | None = None) -> Evidence:
        """The candidates for copies of a query, and what geometry says of the borderline ones.

        picture: with its reduced picture. md5: of the query's file. without: an id that is no
        candidate.
        """
        found = find_candidates(self._store, picture, md5)
        candidates = {each.record.id: each for each in found if each.record.id != without}
        evidence = Evidence(md5, picture.reduced, candidates)
        unproven = (i for i, each in candidates.items() if not self._is_proven(each, evidence))
        return self._verify(evidence, list(unproven)[:MAX_BORDERLINE])

    def find_for_stored(self, image_id: int) -> Evidence:
        """As `find`, for an image of the gallery, by its thumbnail. Raises NotFound."""
        found = self._store.get([image_id], latest=False)
        if not found:
            raise NotFound(f"There is no image with the id {image_id}.")
        picture = decode_thumbnail(self._thumbnails, self._decoder, image_id, reduced=True)
        [record] = found
        return self.find(picture, record.md5, image_id) if picture else Evidence(record.md5)

    def combine(self, evidence: Evidence, vector: Vectors, hits: Sequence[Hit]) -> list[Hit]:
        """The hits and the proven candidates that aren't among them, ranked.

        vector: (dimension,) float32, of the query; its cosine with an image's is the score of a hit
        that comes from hashes alone.
        """
        known = {hit.record.id for hit in hits}
        missed = [
            each.record
            for each in evidence.candidates.values()
            if each.record.id not in known and self._is_proven(each, evidence)
        ]
        return self._rank(evidence, [*hits, *self._score(missed, vector)])

    def verify_hits(self, evidence: Evidence, hits: Sequence[Hit]) -> tuple[Evidence, list[Hit]]:
        """The evidence with that of geometry for the first MAX_HITS of ranked hits, and all of them
        ranked again."""
        evidence = self._verify(evidence, [hit.record.id for hit in hits[:MAX_HITS]])
        return evidence, self._rank(evidence, hits)

    def verify(self, reduced: Pixels, ids: Sequence[int]) -> list[Agreement]:
        """As `Verifier.verify`: how a picture agrees with the thumbnails of these images."""

        def load(image_id: int) -> Pixels | None:
            stored = decode_thumbnail(self._thumbnails, self._decoder, image_id, reduced=True)
            return None if stored is None else stored.reduced

        return self._verifier.verify(reduced, ids, load)

    def judge(self, evidence: Evidence, hits: Sequence[Hit]) -> Verdict | None:
        """Whether the gallery has the query's picture, by its ranked hits; None if that can't be
        told, because the query has no readable picture."""
        if evidence.reduced is None:
            return None
        images = self._store.copies.approximate_count()
        rate = self._criteria.false_positives.rate(images, len(evidence.agreements))
        best = hits[0] if hits else None
        if best is None or best.match.kind == "similar":
            return Verdict("none", None, rate)
        return Verdict(best.match.kind, best.record.id, rate)

    def _rank(self, evidence: Evidence, hits: Iterable[Hit]) -> list[Hit]:
        """The hits with their matches: exact ones, copies, parts, others; then by score and id."""
        matched = [replace(hit, match=self._match(hit.record, evidence)) for hit in hits]
        return sorted(matched, key=lambda hit: (_RANKS[hit.match.kind], -hit.score, hit.record.id))

    def _verify(self, evidence: Evidence, ids: Sequence[int]) -> Evidence:
        todo = [each for each in ids if each not in evidence.agreements]
        if evidence.reduced is None or not todo:
            return evidence
        found = self.verify(evidence.reduced, todo)
        added = dict(zip(todo, found, strict=True))
        return replace(evidence, agreements={**evidence.agreements, **added})

    def _match(self, record: Record, evidence: Evidence) -> Match:
        agreement = evidence.agreements.get(record.id)
        inliers = None if agreement is None else agreement.inliers
        if record.md5 == evidence.md5:
            return Match("exact", 0, 1, inliers)
        candidate = evidence.candidates.get(record.id)
        if candidate is None:
            return Match(self._criteria.thresholds.kind_of(None, agreement), inliers=inliers)
        distance = candidate.match.distance
        kind = self._criteria.thresholds.kind_of(distance, agreement)
        return Match(kind, distance, candidate.match.orientation, inliers)

    def _is_proven(self, candidate: CopyCandidate, evidence: Evidence) -> bool:
        return self._match(candidate.record, evidence).is_proven

    def _score(self, records: Sequence[Record], vector: Vectors) -> list[Hit]:
        vectors = self._store.vectors([record.id for record in records])
        return [
            Hit(record, min(max(float(vector @ vectors[record.id]), 0.0), 1.0))
            for record in records
            if record.id in vectors  # else it has been deleted just now
        ]
