"""The one service behind the demo, the REST API, the command line and the benchmarks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
            following: Future[list[_Candidate]] | None = ahead.submit(
                self._prepared, list(islice(rest, BATCH))
            )
            while following is not None and (batch := following.result()):
                more = list(islice(rest, BATCH))
                following = ahead.submit(self._prepared, more) if more else None
                yield from self._written(batch)

    def _prepared(self, images: list[NewImage]) -> list[_Candidate]:
        """Read, hash, look up; decode what is new."""
        batch = list(self._each(_read, images))
        try:
            self._identify([candidate for candidate in batch if candidate.error is None])
        except BogvError as error:
            return [replace(candidate, error=candidate.error or error) for candidate in batch]
        return list(self._each(self._decoded, batch))

    def _each(self, work: Callable[[T], _Candidate], items: Sequence[T]) -> Iterable[_Candidate]:
        return self._threads.map(work, items) if len(items) > 1 else map(work, items)

    def _identify(self, batch: list[_Candidate]) -> None:
        """Give each its id, and the record that is there under it.

        Ids are 53 bits of a hash. An id taken by other bytes or another key is a collision: then
        the next one is tried.
        """
        claimed: dict[int, tuple[str, str]] = {}
        for candidate in batch:
            candidate.id = image_id(candidate.key, candidate.md5)
        waiting = batch
        while waiting:
            there_by_id = {r.id: r for r in self._store.get([c.id for c in waiting])}
            collided = []
            for candidate in waiting:
                there = there_by_id.get(candidate.id)
                identity = candidate.key, candidate.md5
                owner = (there.key, there.md5) if there else claimed.get(candidate.id, identity)
                if owner != identity:
                    candidate.id = candidate.id % (2**ID_BITS - 1) + 1
                    collided.append(candidate)
                else:
                    claimed[candidate.id] = identity
                    candidate.there = there
            waiting = collided

    def _decoded(self, candidate: _Candidate) -> _Candidate:
        if candidate.error is None and candidate.there is None:
            try:
                candidate.picture = self.decoder.decode(candidate.data, thumbnail=True)
            except BogvError as error:
                candidate.error = error
        candidate.data = b""
        return candidate

    def _written(self, batch: list[_Candidate]) -> Iterator[Added]:
        """Embed and write the new ones of a batch; a verdict for each."""
        first: dict[int, _Candidate] = {}
        for candidate in batch:
            if candidate.picture is not None:
                first.setdefault(candidate.id, candidate)
        records = self._write(list(first.values()))
        for candidate in batch:
            owner = first.get(candidate.id, candidate)
            if owner is not candidate:  # the same image twice in one batch
                candidate.there, candidate.error = records.get(candidate.id), owner.error
            yield self._verdict(candidate)

    def _write(self, candidates: list[_Candidate]) -> dict[int, Record]:
        """Embed, then thumbnails, then rows; the records written, by id."""
        pictures = [c.picture for c in candidates if c.picture is not None]
        if not pictures:
            return {}
        vectors = self.embedder.embed(np.stack([picture.pixels for picture in pictures]))
        try:
            with self._writing:
                for candidate, picture in zip(candidates, pictures, strict=True):
                    if picture.thumbnail is not None:
                        self.thumbnails.write(candidate.id, picture.thumbnail)
                records = [
                    _record(candidate, picture, self._clock.now())
                    for candidate, picture in zip(candidates, pictures, strict=True)
                ]
                self._store.put(records, vectors)
        except BogvError as error:
            for candidate in candidates:
                candidate.error = error
            return {}
        return {record.id: record for record in records}

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
    picture: Picture | None = None
    error: BogvError | None = None

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
