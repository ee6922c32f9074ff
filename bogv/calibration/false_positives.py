"""How alike pictures are that are no copies: searches with images left out of the gallery.

Some images of the gallery are drawn as queries, and none of them counts as a hit: the others are
the gallery that is searched. What is found is what a search verifies, and a little more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from bogv.copies.candidates import find_candidates
from bogv.copies.geometry import PART
from bogv.copies.thresholds import THRESHOLDS
from bogv.copies.verifier import MAX_HITS, Verifier
from bogv.errors import NotFound
from bogv.imaging.decoder import Decoder
from bogv.records import Picture, Pixels, Record
from bogv.storage.copies import MAX_DISTANCE
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails

Same = Literal["key", "folder"]

DUPLICATE = 4 * PART
"""Points that agree, from which on pictures within THRESHOLDS.copy_bits are the same picture. Two
independent tests say so; one alone would be what is measured."""
MOST_HITS = 1000


@dataclass(frozen=True)
class Alike:
    """Another image of the gallery, and how alike it is to a query."""

    record: Record
    distance: int | None
    """Bits of 256; None: over MAX_DISTANCE."""
    inliers: int


@dataclass(frozen=True)
class LeftOutSearch:
    """What a search for an image finds in the gallery without it."""

    query: Record
    nearest: Alike | None
    """The least distance; None: none is within MAX_DISTANCE."""
    agreeing: Alike | None
    """The most inliers; None: nothing agrees."""
    duplicates: tuple[Alike, ...]
    """The same picture in the gallery again; not counted above."""

    @property
    def distance(self) -> int:
        """Of the nearest; MAX_DISTANCE + 1 if there is none."""
        nearest = self.nearest
        return MAX_DISTANCE + 1 if nearest is None or nearest.distance is None else nearest.distance

    @property
    def inliers(self) -> int:
        """Of the one that agrees most."""
        return self.agreeing.inliers if self.agreeing else 0


class GalleryImages:
    """Decodes a gallery's thumbnails: its images themselves aren't kept."""

    def __init__(self, thumbnails: Thumbnails, decoder: Decoder) -> None:
        self._thumbnails = thumbnails
        self._decoder = decoder

    def decode(self, image_id: int) -> Picture:
        """The picture with `reduced`. Raises NotFound without a thumbnail, and as decoding does."""
        return self._decoder.decode(self.thumbnail(image_id), reduced=True)

    def thumbnail(self, image_id: int) -> bytes:
        """WebP. Raises NotFound."""
        data = self._thumbnails.read(image_id)
        if data is None:
            raise NotFound(f"The image with the id {image_id} has no thumbnail.")
        return data

    def load(self, image_id: int) -> Pixels | None:
        """For `Verifier.verify`."""
        data = self._thumbnails.read(image_id)
        return None if data is None else self._decoder.decode(data, reduced=True).reduced


def search_left_out(
    store: MilvusStore,
    images: GalleryImages,
    verifier: Verifier,
    left_out: frozenset[int],
    count: int,
    same: Same = "key",
) -> Callable[[Record], LeftOutSearch]:
    """A function that searches with one of the images in `left_out`, by hash and by the network.

    Images known to show the same as the query don't count either: see `known`. It raises NotFound
    for an image that is gone, DatabaseUnavailable, StorageUnavailable, and as decoding does.
    """
    limit = min(4 * math.ceil(MAX_HITS * count / max(count - len(left_out), 1)), MOST_HITS)

    def search(query: Record) -> LeftOutSearch:
        def counts(other: Record) -> bool:
            return other.id not in left_out and not known(query, other, same)

        picture = images.decode(query.id)
        near = [e for e in find_candidates(store, picture, query.md5) if counts(e.record)]
        hits = store.search(store.vector(query.id), limit)
        ranked = [hit.record for hit in hits if counts(hit.record)]
        inliers: dict[int, int] = {}
        for some in ([each.record for each in near], ranked):
            ids = [each.id for each in some[:MAX_HITS] if each.id not in inliers]
            agreements = verifier.verify(_reduced(picture), ids, images.load)
            inliers |= {i: each.inliers for i, each in zip(ids, agreements, strict=True)}
        distances = {each.record.id: each.match.distance for each in near}
        records = {each.id: each for each in (*(each.record for each in near), *ranked[:MAX_HITS])}
        return _summarise(
            query,
            [Alike(each, distances.get(i), inliers.get(i, 0)) for i, each in records.items()],
        )

    return search


def known(query: Record, other: Record, same: Same) -> bool:
    """Whether two images are known to show the same thing: those of one file or one key, and with
    `folder` also those whose filepaths are in one folder."""
    if other.key == query.key or other.md5 == query.md5:
        return True
    folders = {PurePath(each.filepath).parent for each in (query, other)}
    return same == "folder" and len(folders) == 1 and PurePath() not in folders


def _summarise(query: Record, found: Sequence[Alike]) -> LeftOutSearch:
    duplicates = tuple(
        each
        for each in found
        if each.distance is not None
        and each.distance <= THRESHOLDS.copy_bits
        and each.inliers >= DUPLICATE
    )
    others = [each for each in found if each not in duplicates]
    near = [each for each in others if each.distance is not None]
    agreeing = [each for each in others if each.inliers]
    return LeftOutSearch(
        query,
        min(near, key=lambda each: each.distance or 0, default=None),
        max(agreeing, key=lambda each: each.inliers, default=None),
        duplicates,
    )


def _reduced(picture: Picture) -> Pixels:
    if picture.reduced is None:
        raise ValueError("The picture was decoded without its reduced form.")
    return picture.reduced
