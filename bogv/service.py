"""The one service behind the demo, the REST API, the command line and the benchmarks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from os import cpu_count
from typing import TypeVar

import numpy as np

from bogv import __version__
from bogv.embedder import Embedder
from bogv.errors import BogvError, InvalidValue, NotFound
from bogv.images import Decoder, md5_of
from bogv.records import (
    ID_BITS,
    Added,
    Cursor,
    Hit,
    NewImage,
    Page,
    Picture,
    Record,
    SearchResult,
    Stats,
    Status,
    Vectors,
    image_id,
)
from bogv.store import FILEPATH_BYTES, KEY_BYTES, MilvusStore
from bogv.thumbnails import Thumbnails
from bogv.weights import DIMENSION

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 32
MAX_LIMIT = 1000


class ImageSearch:
    """Adds, searches, deletes and pages the images of one gallery. Safe in threads.

    Every method raises DatabaseUnavailable when Milvus is gone.
    """

    def __init__(
        self, decoder: Decoder, embedder: Embedder, store: MilvusStore, thumbnails: Thumbnails
    ) -> None:
        self.decoder = decoder
        self.embedder = embedder
        self.thumbnails = thumbnails
        self._store = store
        self._clock = _Clock()
        # A thumbnail and its row are written, and removed, together: without the lock, a delete
        # between an add's two writes would leave a row without its picture.
        self._writing = threading.Lock()
        self._threads = ThreadPoolExecutor(cpu_count() or 1, thread_name_prefix="bogv-decode")
        store.open(embedder.weights.fingerprint, DIMENSION)

    def close(self) -> None:
        """Finish what is under way and write out what is in memory."""
        self._threads.shutdown()
        self._store.close()

    # Adding

    def add(
        self, image: bytes, key: str | None = None, filepath: str = "", origin: str = ""
    ) -> Added:
        """Add an image. The same bytes under the same key are one record, which keeps its id.

        key: at most 512 bytes of UTF-8; None or empty: the MD5 of the bytes. filepath: what the
        caller wants back, at most 2048 bytes; it is never opened. origin: see `NewImage`.

        Raises what decoding raises, InvalidValue, StorageUnavailable.
        """
        verdict = next(self.add_many([NewImage(lambda: image, filepath, key, origin)]))
        if verdict.error is not None:
            raise verdict.error
        return verdict

    def add_many(self, images: Iterable[NewImage]) -> Iterator[Added]:
        """Add images in batches; a verdict for each, in their order. None of them stops the rest.

        While a batch is embedded and written, the next one is read and decoded.
        """
        rest = iter(images)
        with ThreadPoolExecutor(1, thread_name_prefix="bogv-prepare") as ahead:
            following = ahead.submit(self._prepared, list(islice(rest, BATCH)), [])
            while batch := following.result():
                following = ahead.submit(self._prepared, list(islice(rest, BATCH)), batch)
                yield from self._written(batch)

    def _prepared(self, images: list[NewImage], previous: list[_Candidate]) -> list[_Candidate]:
        """Read, hash, look up; decode what is new. The previous batch is not written yet."""
        batch = list(self._each(_read, images))
        readable = [candidate for candidate in batch if candidate.error is None]
        try:
            self._identify(readable, previous)
        except BogvError as error:
            for candidate in readable:
                candidate.error = error
        return list(self._each(self._decoded, batch))

    def _each(self, work: Callable[[T], _Candidate], items: Sequence[T]) -> Iterable[_Candidate]:
        return self._threads.map(work, items) if len(items) > 1 else map(work, items)

    def _identify(self, batch: list[_Candidate], previous: list[_Candidate]) -> None:
        """Give each its id, the record that is there under it, or the candidate that it repeats.

        Ids are 53 bits of a hash. An id taken by other bytes or another key is a collision: then
        the next one is tried.
        """
        claimed = {candidate.id: candidate.repeats or candidate for candidate in previous}
        for candidate in batch:
            candidate.id = image_id(candidate.key, candidate.md5)
        waiting = batch
        while waiting:
            there = {record.id: record for record in self._store.get([c.id for c in waiting])}
            collided = []
            for candidate in waiting:
                holder = there.get(candidate.id) or claimed.get(candidate.id, candidate)
                if (holder.key, holder.md5) == (candidate.key, candidate.md5):
                    candidate.there = there.get(candidate.id)
                    candidate.repeats = claimed.setdefault(candidate.id, candidate)
                else:
                    candidate.id = candidate.id % (2**ID_BITS - 1) + 1
                    collided.append(candidate)
            waiting = collided

    def _decoded(self, candidate: _Candidate) -> _Candidate:
        if candidate.is_new:
            try:
                candidate.picture = self.decoder.decode(candidate.data, thumbnail=True)
            except BogvError as error:
                candidate.error = error
        candidate.data = b""
        return candidate

    def _written(self, batch: list[_Candidate]) -> Iterator[Added]:
        """Embed and write the new ones of a batch; a verdict for each."""
        new = [candidate for candidate in batch if candidate.picture is not None]
        if new:
            try:
                self._write(new)
            except BogvError as error:
                for candidate in new:
                    candidate.error = error
        for candidate in batch:
            first = candidate.repeats
            if first is not None and first is not candidate and candidate.there is None:
                candidate.there, candidate.error = first.record, first.error
            yield self._verdict(candidate)
            candidate.picture = None

    def _write(self, candidates: list[_Candidate]) -> None:
        """Embed, then thumbnails, then rows."""
        pictures = [c.picture for c in candidates if c.picture is not None]
        vectors = self.embedder.embed(np.stack([picture.pixels for picture in pictures]))
        with self._writing:
            for candidate, picture in zip(candidates, pictures, strict=True):
                self.thumbnails.write(candidate.id, picture.thumbnail or b"")
            records = [
                _record(candidate, picture, self._clock.now())
                for candidate, picture in zip(candidates, pictures, strict=True)
            ]
            self._store.put(records, vectors)
        for candidate, record in zip(candidates, records, strict=True):
            candidate.record = record

    def _verdict(self, candidate: _Candidate) -> Added:
        there, filepath = candidate.there, candidate.image.filepath
        status: Status = "created" if there is None else "unchanged"
        try:
            if candidate.error is not None:
                raise candidate.error
            if there is not None and filepath not in {"", there.filepath}:
                self._move(replace(there, filepath=filepath))
                status = "updated"
        except BogvError as error:
            return Added("failed", candidate.filepath, key=candidate.key or None, error=error)
        return Added(status, candidate.filepath, candidate.id, candidate.key)

    def _move(self, record: Record) -> None:
        """Write a row again with its new path."""
        with self._writing:
            vector = self._store.vector(record.id)
            if vector is None:
                raise NotFound(f"The image {record.id} was deleted meanwhile.")
            self._store.put([record], vector[np.newaxis])

    # Searching

    def search(self, image: bytes, limit: int = 10, min_score: float = 0.0) -> SearchResult:
        """The `limit` (1 to 1000) most similar images of at least `min_score`, best first.

        Raises what decoding raises, InvalidValue.
        """
        _check_limit(limit)
        start = time.perf_counter()
        picture = self.decoder.decode(image)
        decoded = time.perf_counter()
        vector = self.embedder.embed(picture.pixels[np.newaxis])[0]
        embedded = time.perf_counter()
        hits = self._nearest(vector, limit, min_score)
        seconds = {
            "decode": decoded - start,
            "embed": embedded - decoded,
            "search": time.perf_counter() - embedded,
        }
        return SearchResult(hits, seconds)

    def similar(self, record_id: int, limit: int = 10, min_score: float = 0.0) -> SearchResult:
        """As `search`, for an image of the gallery, itself left out. Raises NotFound too."""
        _check_limit(limit)
        start = time.perf_counter()
        vector = self._store.vector(record_id)
        if vector is None:
            raise NotFound(f"There is no image with the id {record_id}.")
        hits = self._nearest(vector, min(limit + 1, MAX_LIMIT), min_score)
        others = [hit for hit in hits if hit.record.id != record_id][:limit]
        return SearchResult(others, {"search": time.perf_counter() - start})

    def _nearest(self, vector: Vectors, limit: int, min_score: float) -> list[Hit]:
        return [hit for hit in self._store.search(vector, limit) if hit.score >= min_score]

    # Deleting

    def delete_ids(self, ids: Sequence[int]) -> int:
        """Delete images by id; how many there were. Those that aren't there don't matter."""
        return self._delete(self._store.get(list(ids)))

    def delete_keys(self, keys: Sequence[str]) -> int:
        """Delete all images under these keys; how many there were. Raises InvalidValue."""
        deleted = 0
        while found := self.with_keys(keys):
            deleted += self._delete(found)
        return deleted

    def _delete(self, records: list[Record]) -> int:
        ids = [record.id for record in records]
        with self._writing:
            self._store.delete(ids)
            self.thumbnails.remove(ids)
        return len(ids)

    # Looking

    def get(self, ids: Sequence[int]) -> list[Record]:
        """The records with these ids, in their order; an id that isn't there is left out."""
        return self._store.get(list(ids))

    def with_keys(self, keys: Sequence[str]) -> list[Record]:
        """The records under these keys, at most 16384. Raises InvalidValue for what is no key."""
        for key in keys:
            _check_text("key", key, KEY_BYTES)
        return self._store.with_keys(list(keys))

    def page(self, cursor: Cursor | None = None, size: int = 24, text: str = "") -> Page:
        """`size` records after the cursor, newest first, with `text` in their key or filepath."""
        _check_limit(size)
        records = self._store.newest(cursor, size + 1, text)
        last = records[size - 1] if len(records) > size else None
        return Page(records[:size], Cursor(last.added_at, last.id) if last else None)

    def stats(self) -> Stats:
        """The state of the gallery; asks the database."""
        weights = self.embedder.weights
        return Stats(
            count=self._store.count(),
            database=self._store.database,
            collection=self._store.name,
            weights=weights.name,
            fingerprint=weights.fingerprint,
            engine=self.embedder.engine,
            version=__version__,
        )


@dataclass(eq=False)
class _Candidate:
    """An image on its way into the gallery."""

    image: NewImage
    data: bytes = b""
    md5: str = ""
    key: str = ""
    id: int = 0
    there: Record | None = None
    """The record that is in the gallery already."""
    repeats: _Candidate | None = None
    """The first with the same key and bytes: itself, or one before it that is not written yet."""
    picture: Picture | None = None
    record: Record | None = None
    """What was written."""
    error: BogvError | None = None

    @property
    def is_new(self) -> bool:
        return self.error is None and self.there is None and self.repeats is self

    @property
    def filepath(self) -> str:
        return self.image.filepath or self.image.origin


def _record(candidate: _Candidate, picture: Picture, added_at: int) -> Record:
    return Record(
        id=candidate.id,
        key=candidate.key,
        filepath=candidate.filepath,
        md5=picture.md5,
        width=picture.width,
        height=picture.height,
        size=picture.size,
        added_at=added_at,
    )


def _read(image: NewImage) -> _Candidate:
    candidate = _Candidate(image)
    try:
        candidate.data = image.read()
        candidate.md5 = md5_of(candidate.data)
        candidate.key = image.key or candidate.md5
        _check_text("key", candidate.key, KEY_BYTES)
        _check_text("filepath", candidate.filepath, FILEPATH_BYTES)
    except BogvError as error:
        candidate.error = error
    return candidate


def _check_text(name: str, text: str, limit: int) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidValue(f"The {name} holds half a character (a lone surrogate).") from error
    if length > limit:
        raise InvalidValue(f"The {name} has {length} bytes of UTF-8; the limit is {limit}.")


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidValue(f"The limit is {limit}; it must be from 1 to {MAX_LIMIT}.")


class _Clock:
    """Milliseconds since 1970, no two the same: rows added in one batch keep their order."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1_000_000)
            return self._last
