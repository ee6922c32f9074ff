"""The one service behind the demo, the REST API, the command line and the benchmarks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from bogv import __version__
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION
from bogv.errors import DatabaseUnavailable, InvalidValue, StorageUnavailable
from bogv.imaging.decoder import Decoder
from bogv.ingest import IngestPipeline
from bogv.records import (
    Added,
    Cursor,
    Hit,
    NewImage,
    Page,
    Record,
    SearchResult,
    Stats,
    Vectors,
    check_length,
)
from bogv.storage.milvus import KEY_BYTES, ROWS, MilvusStore
from bogv.storage.paging import MAX_ROWS
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)

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
        # Held from a lookup to the write or delete that follows from it, and from a thumbnail to
        # its row: otherwise two deletes would count the same image, and a delete between an add's
        # two writes would leave a row without its thumbnail.
        self._writing = threading.Lock()
        self._pipeline = IngestPipeline(
            decoder, embedder, store, thumbnails, self._write_lock, self._observe_stage
        )
        store.open(embedder.weights.fingerprint, DIMENSION)

    def close(self) -> None:
        """Finish what is under way and let go of the database."""
        self._pipeline.close()
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
        return self._pipeline.add(NewImage(lambda: image, filepath, key, origin))

    def add_many(
        self, images: Iterable[NewImage], seconds: dict[str, float] | None = None
    ) -> Iterator[Added]:
        """Add images in batches; a verdict for each, in their order. None of them stops the rest.

        While a batch is written, the next is embedded, and the one after it read and decoded; no
        more are in memory. seconds: counts how long each stage was at work.
        """
        return self._pipeline.add_many(images, seconds)

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
            self._observe_stage("search", stage, value)
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
        with self.thumbnails.lock_deletes(WRITER_SECONDS), self._write_lock():
            yield

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
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
                with self._write_lock():  # so no add of this process is between its two writes
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
            check_length("key", key, KEY_BYTES)
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

    def _observe_stage(self, operation: str, stage: str, seconds: float) -> None:
        if self.observe is not None:
            self.observe(operation, stage, seconds)


def _check_limit(limit: int) -> None:
    # The demo's endpoints hand over what was sent: a fraction, a boolean, a text.
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise InvalidValue(f"The limit is {limit!r}; it must be an integer from 1 to {MAX_LIMIT}.")


def _check_cursor(cursor: Cursor) -> None:
    if not (0 <= cursor.added_at < 2**63 and 0 <= cursor.id < 2**63):
        raise InvalidValue("The cursor is none that a page gave as its next.")
