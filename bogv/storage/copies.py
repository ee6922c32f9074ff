"""The store of the hashes that tell copies: the collection `<name>_copies` beside the gallery's.

A hash of 256 bits is stored as 256 floats, 1 or -1: their cosine is 1 - 2 d / 256 for a Hamming
distance of d bits. (Milvus Lite has no binary vectors, and before Milvus 2.4 a collection has only
one vector field.) Hashes don't depend on the weights, so neither does the collection's name.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.errors import DatabaseUnavailable
from bogv.records import HashMatch, Pixels, Vectors
from bogv.storage import schema
from bogv.storage.collection import Collection
from bogv.storage.connection import Connection
from bogv.storage.filters import id_ranges, storable_ids
from bogv.storage.hamming import HashIndex
from bogv.storage.schema import Index

log = logging.getLogger(__name__)

BITS = 256
MAX_DISTANCE = 70  # bits; the hashes of unrelated photos differ in 128 on average
MAX_MATCHES = 64  # of one orientation
IDS_PER_QUERY = 4000
ROWS_PER_LOAD = 250
LOAD_PAUSE = 0.005  # s between two reads
COUNT_SECONDS = 60.0  # after which `approximate_count` counts again
_FIRST_MATCHES = 4  # most images have no copy, and in Milvus Lite a hit takes as long as 1,000 rows

INDEX = Index("FLAT")
"""Exact. HNSW (M 16, ef 64) missed 3 in 100 at 45 bits and 12 at 60, among 20,000 random hashes."""


class CopyStore(Collection):
    """The hash of each image of a gallery, by id. Thread-safe.

    Where one process has the database, as with Milvus Lite, the first search starts to load all
    hashes into memory, which is then searched instead of the collection.

    Every method raises DatabaseUnavailable if Milvus doesn't answer or rejects the call.
    """

    def __init__(self, gallery: str, connection: Connection) -> None:
        super().__init__(f"{gallery}_copies", connection, INDEX)
        self._search_one = connection.batch_searches(self._search)
        self._index = HashIndex() if connection.is_exclusive else None
        self._is_loaded = False
        self._loading: threading.Thread | None = None
        self._closing = threading.Event()
        self._counted, self._counted_at = 0, -COUNT_SECONDS

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
            if self._index is not None:
                self._index.clear()

    def put(self, ids: Sequence[int], hashes: Pixels, qualities: Sequence[int]) -> None:
        """Write hashes, (n, 32) uint8, of images in their orientation 1; replaces existing ones."""
        rows = [
            {"id": i, schema.HASH_FIELD: vector, "quality": quality}
            for i, vector, quality in zip(ids, _to_vectors(hashes), qualities, strict=True)
        ]
        with self.connection.lock:
            self._upsert(rows)
            if self._index is not None:
                self._index.put(ids, hashes, qualities)

    def delete(self, ids: Sequence[int]) -> None:
        """Delete hashes; ids without one are ignored."""
        with self.connection.lock:
            super().delete(ids)
            if self._index is not None:
                self._index.delete(ids)

    def existing(self, ids: Sequence[int]) -> set[int]:
        """Those of the ids that have a hash."""
        storable = storable_ids(ids)
        return {row["id"] for row in self._get_rows(storable, ["id"], True)} if storable else set()

    def approximate_count(self) -> int:
        """The number of hashes, perhaps as of a minute ago."""
        if self._index is not None and self._is_loaded:
            return len(self._index)
        now = time.monotonic()
        if now - self._counted_at > COUNT_SECONDS:
            rows = self._query_rows("", ["count(*)"], "Session")
            self._counted, self._counted_at = int(rows[0]["count(*)"]), now
        return self._counted

    def search(self, hashes: Pixels) -> list[HashMatch]:
        """The images within MAX_DISTANCE bits of one of the hashes; nearest first, ties by id.

        hashes: (n, 32) uint8, of a query in the orientations 1 to n. An image that matches in
        several is listed once, in the nearest. At most MAX_MATCHES for each orientation.
        """
        return self.search_many([hashes])[0]

    def search_many(self, queries: Sequence[Pixels]) -> list[list[HashMatch]]:
        """As `search`, for several queries."""
        if self._index is not None:
            if self._is_loaded:
                found = [self._index.search(each, MAX_DISTANCE, MAX_MATCHES) for each in queries]
                return list(map(nearest_of_each, found))
            self._start_loading(self._index)
        if len(queries) == 1:
            return [self._search_one(queries[0])]
        return self._search(list(queries)) if queries else []

    def close(self) -> None:
        """End the loading of the index; a later search is of the collection."""
        self._closing.set()
        if self._loading is not None:
            self._loading.join()

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

    def _start_loading(self, index: HashIndex) -> None:
        with self.connection.lock:
            if self._loading is None and not self._closing.is_set():
                self._loading = threading.Thread(target=self._load, args=(index,))
                self._loading.start()

    def _load(self, index: HashIndex) -> None:
        """Read the collection into the index, with pauses for the searches that wait for it."""
        try:
            ranges = id_ranges(self.count(), IDS_PER_QUERY)
            ids = [each for bounds in ranges for each in self.get_ids_between(*bounds)]
            for start in range(0, len(ids), ROWS_PER_LOAD):
                with self.connection.lock:  # so that no row changes in between
                    self._load_rows(ids[start : start + ROWS_PER_LOAD], index)
                if self._closing.wait(LOAD_PAUSE):
                    return
        except DatabaseUnavailable as error:
            log.warning("Hashes can't be loaded, so searches for copies stay slow: %s", error)
        else:
            self._is_loaded = True

    def _load_rows(self, ids: list[int], index: HashIndex) -> None:
        rows = self._get_rows(ids, ["id", "quality", schema.HASH_FIELD], False)
        vectors = np.array([row[schema.HASH_FIELD] for row in rows], np.float32).reshape(-1, BITS)
        qualities = [row["quality"] for row in rows]
        index.put([row["id"] for row in rows], _to_hashes(vectors), qualities)

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
            nearest_of_each(found[end - count : end])
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


def nearest_of_each(found: list[list[tuple[int, int, int]]]) -> list[HashMatch]:
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
