"""The store of the hashes that tell copies: the collection `<name>_copies` beside the gallery's.

A hash of 256 bits is stored as 256 floats, 1 or -1: their cosine is 1 - 2 d / 256 for a Hamming
distance of d bits. (Milvus Lite has no binary vectors, and before Milvus 2.4 a collection has only
one vector field.) Hashes don't depend on the weights, so neither does the collection's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.records import HashMatch, Pixels, Vectors
from bogv.storage import schema
from bogv.storage.collection import Collection
from bogv.storage.connection import Connection
from bogv.storage.filters import storable_ids
from bogv.storage.schema import Index

BITS = 256
MAX_DISTANCE = 70  # bits; the hashes of unrelated photos differ in 128 on average
MAX_MATCHES = 64  # of one orientation
_FIRST_MATCHES = 4  # most images have no copy, and in Milvus Lite a hit takes as long as 1,000 rows

INDEX = Index("FLAT")
"""Exact. HNSW (M 16, ef 64) missed 3 in 100 at 45 bits and 12 at 60, among 20,000 random hashes."""


class CopyStore(Collection):
    """The hash of each image of a gallery, by id. Thread-safe.

    Every method raises DatabaseUnavailable if Milvus doesn't answer or rejects the call.
    """

    def __init__(self, gallery: str, connection: Connection) -> None:
        super().__init__(f"{gallery}_copies", connection, INDEX)
        self._search_one = connection.batch_searches(self._search)

    def open(self) -> None:
        """Create the collection if it doesn't exist, and load it. Raises GalleryMismatch."""
        wanted = schema.copies_schema(BITS)
        with self.connection.lock:
            if not self._call(self._client.has_collection, self.name):
                self._call(self._client.create_collection, self.name, schema=wanted)
            self._prepare(wanted)

    def drop(self) -> None:
        """Delete the collection, if it exists."""
        with self.connection.lock:
            if self._call(self._client.has_collection, self.name):
                self._call(self._client.drop_collection, self.name)

    def put(self, ids: Sequence[int], hashes: Pixels, qualities: Sequence[int]) -> None:
        """Write hashes, (n, 32) uint8, of images in their orientation 1; replaces existing ones."""
        rows = zip(ids, _to_vectors(hashes), qualities, strict=True)
        self._upsert(
            [
                {"id": i, schema.HASH_FIELD: vector, "quality": quality}
                for i, vector, quality in rows
            ]
        )

    def existing(self, ids: Sequence[int]) -> set[int]:
        """Those of the ids that have a hash."""
        storable = storable_ids(ids)
        return {row["id"] for row in self._get_rows(storable, ["id"], True)} if storable else set()

    def hashes_between(self, start: int, end: int) -> tuple[list[int], Pixels, list[int]]:
        """All ids from `start` on, below `end`, in any order; their hashes, (n, 32) uint8, in
        orientation 1; and their qualities."""
        rows = self._get_rows_between(start, end, ["id", "quality", schema.HASH_FIELD])
        vectors = np.array([row[schema.HASH_FIELD] for row in rows], np.float32)
        hashes = _to_hashes(vectors.reshape(-1, BITS))
        return [row["id"] for row in rows], hashes, [row["quality"] for row in rows]

    def search(self, hashes: Pixels) -> list[HashMatch]:
        """The images within MAX_DISTANCE bits of one of the hashes; nearest first, ties by id.

        hashes: (n, 32) uint8, of a query in the orientations 1 to n. An image that matches in
        several is listed once, in the nearest. At most MAX_MATCHES for each orientation.
        """
        return self._search_one(hashes)

    def finds_itself(self, image_id: int) -> bool | None:
        """Whether a search for an image's hash finds it; None if it has no hash.

        Also True if so many images have an equal hash that it may not be among the matches.
        """
        rows = self._get_rows(storable_ids([image_id]), [schema.HASH_FIELD], False)
        if not rows:
            return None
        vector = np.asarray(rows[0][schema.HASH_FIELD], np.float32)
        equal = [
            each.id for each in self.search(_to_hashes(vector[np.newaxis])) if not each.distance
        ]
        return image_id in equal or len(equal) >= MAX_MATCHES

    def _search(self, queries: list[Pixels]) -> list[list[HashMatch]]:
        """The matches of each query, in one call; in two, if an orientation has many matches."""
        counts = [len(hashes) for hashes in queries]
        vectors = list(_to_vectors(np.concatenate(queries)))
        found = self._search_vectors(vectors, _FIRST_MATCHES)
        full = [i for i, matches in enumerate(found) if len(matches) == _FIRST_MATCHES]
        if full:
            more = self._search_vectors([vectors[i] for i in full], MAX_MATCHES)
            for i, matches in zip(full, more, strict=True):
                found[i] = matches
        ends = np.cumsum(counts)
        return [
            _nearest_of_each(found[end - count : end])
            for count, end in zip(counts, ends, strict=True)
        ]

    def _search_vectors(
        self, vectors: list[Vectors], limit: int
    ) -> list[list[tuple[int, int, int]]]:
        """For each vector (256,): ids, distances and qualities of the rows near it."""
        found = self._call(
            self._client.search,
            self.name,
            data=vectors,
            limit=limit,
            output_fields=["quality"],
            search_params=schema.search_params(self.index, limit),
        )
        return [
            [match for hit in hits if (match := _match_of(hit))[1] <= MAX_DISTANCE]
            for hits in found
        ]


def _match_of(hit: Any) -> tuple[int, int, int]:
    distance = round((1 - float(hit["distance"])) * BITS / 2)
    return hit["id"], distance, hit["entity"]["quality"]


def _nearest_of_each(found: list[list[tuple[int, int, int]]]) -> list[HashMatch]:
    """found: for each orientation, ids, distances and qualities."""
    nearest: dict[int, HashMatch] = {}
    for orientation, matches in enumerate(found, 1):
        for image_id, distance, quality in matches:
            if image_id not in nearest or distance < nearest[image_id].distance:
                nearest[image_id] = HashMatch(image_id, distance, orientation, quality)
    return sorted(nearest.values(), key=lambda match: (match.distance, match.id))


def _to_vectors(hashes: Pixels) -> Vectors:
    """(n, 32) uint8 -> (n, 256), 1 and -1."""
    signs: Vectors = np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
    return signs


def _to_hashes(vectors: Vectors) -> NDArray[np.uint8]:
    """(n, 256) -> (n, 32)."""
    return np.packbits(vectors > 0, axis=1)
