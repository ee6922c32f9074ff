"""The one service behind the demo, the REST API, the command line and the benchmarks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TypeVar

import numpy as np

from bogv import __version__
from bogv.batching import Batcher
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION
from bogv.errors import BogvError, DatabaseUnavailable, InvalidValue, StorageUnavailable
from bogv.imaging.decoder import Decoder
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
    md5_of,
)
from bogv.redaction import without_login
from bogv.storage.milvus import FILEPATH_BYTES, KEY_BYTES, ROWS, MilvusStore
from bogv.storage.paging import MAX_ROWS
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH = 32
MAX_LIMIT = 1000
WRITER_SECONDS = 30.0  # then whoever waits to write is told to come again


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
        self.observe: Callable[[str, str, float], None] | None = None
        """Called with `search`, `add` or `add_batch`, a stage of it, and its seconds, each time."""
        self._store = store
        self._clock = _Clock()
        # Looking up and writing belong together, and so do a thumbnail and its row: without the
        # lock, two deletes would count the same image, and a delete between an add's two writes
        # would leave a row without its picture.
        self._writing = threading.Lock()
        self._writes = Batcher(self._written, BATCH)
        self._threads = ThreadPoolExecutor(decoder.sandbox.most, thread_name_prefix="bogv-decode")
        store.open(embedder.weights.fingerprint, DIMENSION)

    def close(self) -> None:
        """Finish what is under way and let go of the database."""
        self._threads.shutdown()
        self.decoder.close()
        self.thumbnails.close()
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
        new = NewImage(lambda: image, filepath, key, origin)
        prepared = self._timed("add", "decode", self._prepared)([new])
        [candidate] = self._timed("add", "embed", self._embedded)(prepared)
        if candidate.error is None:
            self._timed("add", "write", self._written_together)([candidate])
        if candidate.error is not None:
            raise candidate.error
        return _verdict(candidate)

    def add_many(
        self, images: Iterable[NewImage], seconds: dict[str, float] | None = None
    ) -> Iterator[Added]:
        """Add images in batches; a verdict for each, in their order. None of them stops the rest.

        While a batch is written, the next is embedded, and the one after it read and decoded; no
        more are in memory. seconds: counts how long each stage was at work.
        """
        spent = {} if seconds is None else seconds
        rest = iter(images)
        batches = iter(lambda: list(islice(rest, BATCH)), [])
        timed = partial(self._timed, "add_batch", spent=spent)
        prepared = _ahead(map(timed("decode", self._prepared), batches))
        embedded = _ahead(map(timed("embed", self._embedded), prepared))
        for batch in map(timed("write", self._written), embedded):
            yield from map(_verdict, batch)

    def _prepared(self, images: list[NewImage]) -> list[_Candidate]:
        """Read and hash; decode what seems to be new. What is new is settled by `_put`."""
        batch = list(self._each(_read, images))
        readable = [candidate for candidate in batch if candidate.error is None]
        try:
            seen = self._store.get([candidate.id for candidate in readable], latest=False)
        except BogvError as error:
            return _failed(batch, error)
        known = {(record.key, record.md5) for record in seen}
        new = [candidate for candidate in readable if candidate.identity not in known]
        list(self._each(self._decode, new))
        return batch

    def _each(self, work: Callable[[T], _Candidate], items: Sequence[T]) -> Iterable[_Candidate]:
        return self._threads.map(work, items) if len(items) > 1 else map(work, items)

    def _decode(self, candidate: _Candidate) -> _Candidate:
        try:
            data = candidate.data or candidate.image.read()
            candidate.picture = self.decoder.decode(data, thumbnail=True)
        except BogvError as error:
            candidate.error = error
        candidate.data = b""
        return candidate

    def _embedded(self, batch: list[_Candidate]) -> list[_Candidate]:
        new = [candidate for candidate in batch if candidate.picture is not None]
        try:
            self._embed(new)
        except BogvError as error:
            _failed(new, error)
        return batch

    def _written_together(self, batch: list[_Candidate]) -> list[_Candidate]:
        """With those of others who write now: looking up and writing takes a Milvus server some
        hundred ms, for one image as for thirty."""
        return list(map(self._writes, batch))

    def _written(self, batch: list[_Candidate]) -> list[_Candidate]:
        try:
            with self._writer():
                self._put([candidate for candidate in batch if candidate.error is None])
        except BogvError as error:
            _failed([candidate for candidate in batch if candidate.status != "unchanged"], error)
        return batch

    def _embed(self, candidates: list[_Candidate]) -> None:
        pictures = [c.picture for c in candidates if c.picture is not None]
        if pictures:
            vectors = self.embedder.embed(np.stack([picture.pixels for picture in pictures]))
            for candidate, vector in zip(candidates, vectors, strict=True):
                candidate.vector = vector

    def _put(self, batch: list[_Candidate]) -> None:
        """Write what is new or has a new path, in one go; under the lock."""
        there = self._identify(batch)
        with self.thumbnails.log_intent(list({each.id for each in batch if each.id not in there})):
            self._write(batch, there)

    def _write(self, batch: list[_Candidate], there: dict[int, Record]) -> None:
        vectors: dict[int, Vectors] = {}
        for candidate in batch:
            record, filepath = there.get(candidate.id), candidate.image.filepath
            if record is not None and filepath in {"", record.filepath}:
                candidate.status = "unchanged"
                continue
            if record is None:
                if not self._store_thumbnail(candidate):
                    continue
                there[candidate.id] = candidate.record(self._clock.now())
                vectors[candidate.id] = candidate.vector
                candidate.status = "created"
            else:
                there[candidate.id] = replace(record, filepath=filepath)
                if candidate.id not in vectors:
                    vectors[candidate.id] = self._store.vector(candidate.id)
                candidate.status = "updated"
        if vectors:
            self._store.put([there[each] for each in vectors], np.stack(list(vectors.values())))

    def _store_thumbnail(self, candidate: _Candidate) -> bool:
        """False if the image, deleted a moment ago, had to be decoded now and could not be."""
        if candidate.picture is None and self._decode(candidate).error is None:
            self._embed([candidate])
        if candidate.picture is None:
            return False
        self.thumbnails.write(candidate.id, candidate.picture.thumbnail or b"")
        return True

    def _identify(self, batch: list[_Candidate]) -> dict[int, Record]:
        """Give each its id; the records that are there, by id.

        Ids are 53 bits of a hash. An id taken by other bytes or another key is a collision: then
        the next one is tried.
        """
        there: dict[int, Record] = {}
        holders: dict[int, tuple[str, str]] = {}
        waiting = batch
        while waiting:
            for record in self._store.get([candidate.id for candidate in waiting]):
                there[record.id] = record
                holders[record.id] = record.key, record.md5
            collided = []
            for candidate in waiting:
                holder = holders.setdefault(candidate.id, candidate.identity)
                if holder != candidate.identity:
                    candidate.id = candidate.id % (2**ID_BITS - 1) + 1
                    collided.append(candidate)
            waiting = collided
        return there

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
        for stage, value in seconds.items():
            self._observed("search", stage, value)
        return SearchResult(hits, seconds)

    def nearest(self, record_id: int, limit: int) -> list[Hit]:
        """The most similar images to one of the gallery, itself among them. Raises NotFound."""
        return self._store.search(self._store.vector(record_id), limit)

    def similar(self, record_id: int, limit: int = 10, min_score: float = 0.0) -> SearchResult:
        """As `search`, for an image of the gallery, itself left out. Raises NotFound too."""
        _check_limit(limit)
        start = time.perf_counter()
        vector = self._store.vector(record_id)
        hits = self._nearest(vector, min(limit + 1, MAX_LIMIT), min_score)
        others = [hit for hit in hits if hit.record.id != record_id][:limit]
        return SearchResult(others, {"search": time.perf_counter() - start})

    def _nearest(self, vector: Vectors, limit: int, min_score: float) -> list[Hit]:
        return [hit for hit in self._store.search(vector, limit) if hit.score >= min_score]

    # Deleting

    def delete_ids(self, ids: Sequence[int]) -> int:
        """Delete images by id; how many there were. Those that aren't there don't matter.

        Each is counted once, also where several servers delete it at the same moment, if they keep
        their thumbnails in one folder: Milvus has no delete that tells what it deleted.
        """
        with self._deleter():
            return self._delete(self._store.get(list(ids)))

    def delete_keys(self, keys: Sequence[str]) -> int:
        """Delete all images under these keys; how many there were, as `delete_ids`. Raises
        InvalidValue."""
        deleted = 0
        with self._deleter():
            while found := self.with_keys(keys):
                deleted += self._delete(found)
                if len(found) < MAX_ROWS:  # these were all
                    break
        return deleted

    def _delete(self, records: list[Record]) -> int:
        ids = [record.id for record in records]
        try:
            with self.thumbnails.log_intent(ids):
                self._store.delete(ids)
                self.thumbnails.remove(ids)
        except StorageUnavailable as error:
            # The images are gone from the gallery: a stray file is no reason to say otherwise.
            log.warning("Deleted images have left thumbnails behind: %s", error)
        return len(ids)

    @contextmanager
    def _deleter(self) -> Iterator[None]:
        """Between looking up what is there and deleting it, no other server does the same."""
        with self.thumbnails.lock_deletes(WRITER_SECONDS), self._writer():
            yield

    @contextmanager
    def _writer(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=WRITER_SECONDS):
            raise DatabaseUnavailable("Other images are still being written; try again.")
        try:
            yield
        finally:
            self._writing.release()

    def sweep(self, min_age: float) -> int:
        """Remove thumbnails that processes which were killed left without their rows.

        min_age: seconds; what is younger may be another server's, about to write its row, and is
        left for another time: how many there were. Raises StorageUnavailable. Takes as long as
        those processes had in hand, not as the gallery is large.
        """
        young = 0
        for left in self.thumbnails.abandoned_logs():
            self.thumbnails.remove_parts(left)
            waiting = 0
            for start in range(0, len(left.ids), ROWS):
                ids = left.ids[start : start + ROWS]
                with self._writer():  # so no add of this process is between its two writes
                    there = {record.id for record in self._store.get(ids)}
                    strays = [each for each in ids if each not in there]
                    waiting += self.thumbnails.remove_older(strays, min_age)
            log.info("Swept after a crash: %d images looked up", len(left.ids))
            if not waiting:
                left.path.unlink(missing_ok=True)
            young += waiting
        return young

    # Looking

    def get(self, ids: Sequence[int]) -> list[Record]:
        """The records with these ids, in their order; an id that isn't there is left out."""
        return self._store.get(list(ids))

    def ids_from(self, start: int, size: int) -> list[int]:
        """At most `size` ids from `start` on, in no order: which of them is Milvus' choice."""
        return self._store.ids_from(start, size)

    def with_keys(self, keys: Sequence[str]) -> list[Record]:
        """The records under these keys, at most 16384. Raises InvalidValue for what is no key."""
        for key in keys:
            _check_text("key", key, KEY_BYTES)
        return self._store.with_keys(list(keys))

    def page(self, cursor: Cursor | None = None, size: int = 24, text: str = "") -> Page:
        """`size` records after the cursor, newest first, with `text` in their key or filepath.

        Raises InvalidValue for a cursor that can't be one of an earlier page.
        """
        _check_limit(size)
        if cursor is not None:
            _check_cursor(cursor)
        records = self._store.newest(cursor, size + 1, text)
        last = records[size - 1] if len(records) > size else None
        return Page(records[:size], Cursor(last.added_at, last.id) if last else None)

    def check_folders(self) -> None:
        """Raises StorageUnavailable where the files of the gallery were taken away."""
        self._store.check_folder()
        self.thumbnails.check_folder()

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

    def _timed(
        self,
        operation: str,
        stage: str,
        work: Callable[[list[T]], list[_Candidate]],
        spent: dict[str, float] | None = None,
    ) -> Callable[[list[T]], list[_Candidate]]:
        """The same work, which tells how long it took, and adds it to what the stage has spent."""

        def timed(batch: list[T]) -> list[_Candidate]:
            start = time.perf_counter()
            done = work(batch)
            seconds = time.perf_counter() - start
            self._observed(operation, stage, seconds)
            if spent is not None:
                spent[stage] = spent.get(stage, 0.0) + seconds
            return done

        return timed

    def _observed(self, operation: str, stage: str, seconds: float) -> None:
        if self.observe is not None:
            self.observe(operation, stage, seconds)


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each worked out in a thread while the one before it is used."""
    rest = iter(items)

    def following() -> list[T]:
        return list(islice(rest, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="bogv-ahead") as thread:
        future = thread.submit(following)
        while item := future.result():
            future = thread.submit(following)
            yield item[0]


@dataclass(eq=False)
class _Candidate:
    """An image on its way into the gallery."""

    image: NewImage
    data: bytes = b""
    md5: str = ""
    key: str = ""
    id: int = 0
    picture: Picture | None = None
    vector: Vectors = field(default_factory=lambda: np.empty(0, np.float32))
    status: Status = "failed"
    error: BogvError | None = None

    @property
    def identity(self) -> tuple[str, str]:
        return self.key, self.md5

    @property
    def filepath(self) -> str:
        return self.image.filepath or without_login(self.image.origin)

    def record(self, added_at: int) -> Record:
        assert self.picture is not None  # noqa: S101 - what is not decoded is not recorded
        return Record(
            id=self.id,
            key=self.key,
            filepath=self.filepath,
            md5=self.md5,
            width=self.picture.width,
            height=self.picture.height,
            size=self.picture.size,
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
        candidate.id = image_id(candidate.key, candidate.md5)
    except BogvError as error:
        candidate.error = error
    return candidate


def _failed(candidates: list[_Candidate], error: BogvError) -> list[_Candidate]:
    for candidate in candidates:
        candidate.error = candidate.error or error
    return candidates


def _verdict(candidate: _Candidate) -> Added:
    if candidate.error is not None:
        return Added("failed", candidate.filepath, key=candidate.key or None, error=candidate.error)
    return Added(candidate.status, candidate.filepath, candidate.id, candidate.key)


def _check_text(name: str, text: str, limit: int) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidValue(f"The {name} holds half a character (a lone surrogate).") from error
    if length > limit:
        raise InvalidValue(f"The {name} has {length} bytes of UTF-8; the limit is {limit}.")


def _check_limit(limit: int) -> None:
    # The demo's endpoints hand over what was sent: a fraction, a boolean, a text.
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise InvalidValue(f"The limit is {limit!r}; it must be an integer from 1 to {MAX_LIMIT}.")


def _check_cursor(cursor: Cursor) -> None:
    if not (0 <= cursor.added_at < 2**63 and 0 <= cursor.id < 2**63):
        raise InvalidValue("The cursor is none that a page gave as its next.")


class _Clock:
    """Milliseconds since 1970, no two the same: rows added in one batch keep their order."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1_000_000)
            return self._last
