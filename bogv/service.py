"""The service behind the demo, the REST API, the command line and the benchmarks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bogv import __version__
from bogv.calibration.calibrator import Calibrator
from bogv.calibration.rarity import RarityGauge
from bogv.copies.backfill import Backfill
from bogv.copies.geometry import Agreement
from bogv.copies.matching import Evidence, Matcher
from bogv.duplicates.duplicates import Duplicates
from bogv.embedding.embedder import Embedder
from bogv.embedding.explanation import ExplainedScore, explain
from bogv.embedding.query_expansion import expand
from bogv.embedding.weights import DIMENSION
from bogv.errors import DatabaseUnavailable, InvalidValue, NotFound, StorageUnavailable
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
    md5_of,
)
from bogv.storage.milvus import KEY_BYTES, MilvusStore
from bogv.storage.paging import MAX_ROWS, check_cursor
from bogv.storage.sweep import sweep
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)

MAX_LIMIT = 1000
COPY_SEARCHES = 16  # at the same time
WRITE_LOCK_SECONDS = 30.0  # after which a waiting add or delete fails with a 503


class ImageSearch:
    """Adds, searches, deletes and lists the images of one gallery. Thread-safe.

    Every method raises DatabaseUnavailable if Milvus is unavailable.
    """

    def __init__(
        self,
        decoder: Decoder,
        embedder: Embedder,
        store: MilvusStore,
        thumbnails: Thumbnails,
        query_expansion: int = 0,
        calibration: Path | None = None,
    ) -> None:
        """query_expansion: how many of its nearest neighbours a query is expanded with, before
        `search` and `similar` search again; scores are then cosines to the expanded query.

        calibration: the folder of what was measured on this gallery; None: it is not kept."""
        self.decoder = decoder
        self.embedder = embedder
        self.thumbnails = thumbnails
        self.observe: Callable[[str, str, float], None] | None = None
        """Called after each stage with the operation (`search`, `add` or `add_batch`), the name of
        the stage, and its seconds."""
        self._store = store
        self._query_expansion = query_expansion
        # Held from a lookup to the write or delete that depends on it, and from the write of a
        # thumbnail to that of its row: otherwise two deletes could both count the same image, and a
        # delete between an add's two writes would leave a row without its thumbnail.
        self._writing = threading.Lock()
        fingerprint = embedder.weights.fingerprint
        self.rarity = RarityGauge(store, fingerprint, calibration, query_expansion=query_expansion)
        self.calibrator = Calibrator(store, thumbnails, decoder, embedder, calibration)
        self._matcher = Matcher(store, thumbnails, decoder, self.calibrator)
        self._pipeline = IngestPipeline(
            *(decoder, embedder, store, thumbnails, self.calibrator),
            *(self._write_lock, self._observe_stage),
        )
        # Searches for copies run in these while the query is embedded.
        self._threads = ThreadPoolExecutor(COPY_SEARCHES, thread_name_prefix="bogv-copies")
        store.open(fingerprint, DIMENSION)
        store.copies.open()
        self.backfill = Backfill(store, thumbnails, decoder, self._delete_lock)
        self.backfill.count_missing()

    def close(self) -> None:
        """Wait for running adds, stop the decoder's processes, and disconnect from Milvus."""
        self._pipeline.close()
        self._threads.shutdown()
        self._matcher.close()
        self.decoder.close()
        self.thumbnails.close()
        self._store.close()

    # Adding

    def add(
        self, image: bytes, key: str | None = None, filepath: str = "", origin: str = ""
    ) -> Added:
        """Add an image. The same bytes under the same key are one record, which keeps its id.

        key: at most 512 bytes of UTF-8; None or empty: the MD5 of the bytes. filepath: stored with
        the image, at most 2048 bytes; it is never opened. origin: see `NewImage`.

        Raises the errors of decoding, InvalidValue, StorageUnavailable.
        """
        return self._pipeline.add(NewImage(lambda: image, filepath, key, origin))

    def add_many(
        self,
        images: Iterable[NewImage],
        seconds: dict[str, float] | None = None,
        skip_duplicates: bool = False,
    ) -> Iterator[Added]:
        """Add images in batches; a result for each, in order. An error fails its image only.

        While a batch is written, the next one is embedded and the one after that is read and
        decoded; at most three are in memory. seconds: accumulates each stage's working time.
        skip_duplicates: whether to leave out new images that are copies of one that is there, or
        comes earlier.
        """
        return self._pipeline.add_many(images, seconds, skip_duplicates)

    # Searching

    def search(
        self,
        image: bytes,
        limit: int = 10,
        min_score: float = 0.0,
        verify: bool = False,
        max_rarity: float | None = None,
    ) -> SearchResult:
        """Find the `limit` (1 to 1000) most similar images of at least `min_score`, and copies of
        whatever score: those first, the most similar of each kind before the others.

        verify: whether to compare the first 12 by their geometry, too, which also finds parts.

        max_rarity: leaves out hits whose score a larger share of the gallery's pairs reaches, as
        `min_score` does those of lower scores; None: none.

        Raises the errors of decoding, InvalidValue, also for a `max_rarity` while rarities aren't
        known.
        """
        _check_limit(limit)
        self.rarity.check(max_rarity)
        start = time.perf_counter()
        picture = self.decoder.decode(image, reduced=True)
        decoded = time.perf_counter()
        finding = self._threads.submit(self._matcher.find, picture, md5_of(image))
        vector = self.embedder.embed(picture.pixels[np.newaxis])[0]
        embedded = time.perf_counter()
        vector = self._expand(vector)
        hits = self._store.search(vector, limit)
        hits = self._matcher.combine(evidence := finding.result(), vector, hits)
        found = time.perf_counter()
        seconds = {
            "decode": decoded - start,
            "embed": embedded - decoded,
            "search": found - embedded,
        }
        if verify:
            evidence, hits = self._matcher.verify_hits(evidence, hits)
            seconds["verify"] = time.perf_counter() - found
        for stage, value in seconds.items():
            self._observe_stage("search", stage, value)
        hits = [hit for hit in self.rarity.mark(hits) if _is_shown(hit, min_score, max_rarity)]
        return self._answer(evidence, hits, seconds, limit)

    def similar(
        self,
        record_id: int,
        limit: int = 10,
        min_score: float = 0.0,
        verify: bool = False,
        max_rarity: float | None = None,
    ) -> SearchResult:
        """As `search`, for an image of the gallery, without itself. Raises NotFound too.

        Its thumbnail is the query for copies; without a readable one there is no verdict, and
        only equal files are told.
        """
        _check_limit(limit)
        self.rarity.check(max_rarity)
        start = time.perf_counter()
        vector = self._expand(self._store.vector(record_id), record_id)
        finding = self._threads.submit(self._matcher.find_for_stored, record_id)
        found = self._store.search(vector, min(limit + 1, MAX_LIMIT))
        others = [hit for hit in found if hit.record.id != record_id][:limit]
        hits = self._matcher.combine(evidence := finding.result(), vector, others)
        if verify:
            evidence, hits = self._matcher.verify_hits(evidence, hits)
        seconds = {"search": time.perf_counter() - start}
        hits = [hit for hit in self.rarity.mark(hits) if _is_shown(hit, min_score, max_rarity)]
        return self._answer(evidence, hits, seconds, limit)

    def verify(self, image: bytes, ids: Sequence[int]) -> list[Agreement]:
        """What of an image and of each of the first 12 of these images of the gallery agrees, in
        their order; nothing where there is no such image. Raises the errors of decoding."""
        reduced = self.decoder.decode(image, reduced=True).reduced
        return [] if reduced is None else self._matcher.verify(reduced, ids)

    def _answer(
        self, evidence: Evidence, hits: list[Hit], seconds: dict[str, float], limit: int
    ) -> SearchResult:
        verdict = self._matcher.judge(evidence, hits)
        copies = list(evidence.candidates.values())
        return SearchResult(hits[:limit], seconds, copies, self.backfill.is_complete, verdict)

    def nearest(self, record_id: int, limit: int) -> list[Hit]:
        """The images most similar to one of the gallery, including itself. Raises NotFound.

        By its own embedding, without query expansion: it must come first.
        """
        return self._store.search(self._store.vector(record_id), limit)

    def finds_its_copy(self, record_id: int) -> bool:
        """Whether a search for the hash of an image of the gallery finds it, for the canary.

        A hash that is missing is not found, unless `backfill` is yet to write it.
        """
        found = self._store.copies.finds_itself(record_id)
        return not self.backfill.is_complete if found is None else found

    def explain(self, image: bytes, record_id: int) -> ExplainedScore:
        """Take the score of a hit apart, which a search with this image finds.

        Raises NotFound without such a record or its thumbnail, the errors of decoding,
        StorageUnavailable, EngineFailed.
        """
        stored = self._store.vector(record_id)
        thumbnail = self.thumbnails.read(record_id)
        if thumbnail is None:
            raise NotFound(f"The image with the id {record_id} has no thumbnail.")
        query, hit = self.decoder.decode(image, thumbnail=True), self.decoder.decode(thumbnail)
        vector = self.embedder.embed(query.pixels[np.newaxis])[0]
        maps = self.embedder.feature_maps(np.stack([query.pixels, hit.pixels]))
        return ExplainedScore(query, hit, explain(*maps), float(vector @ stored))

    def _expand(self, vector: Vectors, record_id: int | None = None) -> Vectors:
        """A query with its neighbours. record_id: its own in the gallery, which is none of them."""
        if not self._query_expansion:
            return vector
        limit = self._query_expansion + (record_id is not None)
        found = self._store.neighbours(vector, limit)
        others = [each for each in found if each.id != record_id]
        return expand(vector, others[: self._query_expansion])

    # Deleting

    def delete_ids(self, ids: Sequence[int]) -> int:
        """Delete images by id, and return how many there were. Unknown ids are ignored.

        An image that several servers delete at the same time is counted once, if the servers keep
        their thumbnails in one folder: Milvus doesn't report which rows it deleted.
        """
        with self._delete_lock():
            return self._delete(self._store.get(list(ids)))

    def delete_keys(self, keys: Sequence[str]) -> int:
        """Delete all images with these keys, and return how many there were, as `delete_ids` does.
        Raises InvalidValue."""
        deleted = 0
        with self._delete_lock():
            while found := self.get_by_keys(keys):
                deleted += self._delete(found)
                if len(found) < MAX_ROWS:  # there are no more
                    break
        return deleted

    def delete_duplicates(self, ids: Sequence[int], kept: Sequence[int]) -> int:
        """As `delete_ids`, unless an image that is kept in their place is gone. Raises NotFound."""
        with self._delete_lock():
            if len(self.get(kept)) < len(set(kept)):
                raise NotFound("An image to be kept has been deleted: nothing was deleted now.")
            return self._delete(self._store.get(list(ids)))

    def _delete(self, records: list[Record]) -> int:
        ids = [record.id for record in records]
        deleted = False
        try:
            with self.thumbnails.log_intent(ids):
                self._store.delete(ids)
                deleted = True
                self._remove_rest(ids)
        except (DatabaseUnavailable, StorageUnavailable) as error:
            if not deleted:
                raise
            # An orphaned hash or thumbnail must not make the call fail: the next start removes it.
            log.warning("Hashes or thumbnails of deleted images can't be removed: %s", error)
        return len(ids)

    def _remove_rest(self, ids: list[int]) -> None:
        """Remove what is stored of images beside their rows."""
        self._store.copies.delete(ids)
        self.thumbnails.remove(ids)

    @contextmanager
    def _delete_lock(self) -> Iterator[None]:
        """Held from a lookup to the delete, to exclude those of other threads and servers."""
        with self.thumbnails.lock_deletes(WRITE_LOCK_SECONDS), self._write_lock():
            yield

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        if not self._writing.acquire(timeout=WRITE_LOCK_SECONDS):
            raise DatabaseUnavailable("The gallery is busy with other writes; try again.")
        try:
            yield
        finally:
            self._writing.release()

    def sweep(self, min_age: float) -> int:
        """As of `bogv.storage.sweep`."""
        return sweep(self._store, self.thumbnails, self._write_lock, self._remove_rest, min_age)

    # Reading

    def get(self, ids: Sequence[int]) -> list[Record]:
        """The records with these ids, in their order; unknown ids are ignored."""
        return self._store.get(list(ids))

    def get_ids_from(self, start: int, size: int) -> list[int]:
        """At most `size` ids that are at least `start`; Milvus chooses which, in any order."""
        return self._store.get_ids_from(start, size)

    def get_by_keys(self, keys: Sequence[str]) -> list[Record]:
        """The records with these keys, at most 16384. Raises InvalidValue for an invalid key."""
        for key in keys:
            check_length("key", key, KEY_BYTES)
        return self._store.get_by_keys(list(keys))

    def page(self, cursor: Cursor | None = None, size: int = 24, text: str = "") -> Page:
        """A page of `size` records after the cursor, newest first, with `text` in their key or
        filepath. Raises InvalidValue for an invalid cursor."""
        _check_limit(size)
        if cursor is not None:
            check_cursor(cursor)
        records = self._store.newest(cursor, size + 1, text)
        last = records[size - 1] if len(records) > size else None
        return Page(records[:size], Cursor(last.added_at, last.id) if last else None)

    def duplicates(self, folder: Path) -> Duplicates:
        """What finds the gallery's duplicates. folder: where it keeps its state."""
        return Duplicates(self._store, self.thumbnails, self.decoder, folder)

    def check_folders(self) -> None:
        """Raises StorageUnavailable if a folder of the gallery was deleted or replaced."""
        self._store.check_folder()
        self.thumbnails.check_folder()

    def stats(self) -> Stats:
        """The state of the gallery; queries the database."""
        weights, count = self.embedder.weights, self._store.count()
        return Stats(
            count=count,
            database=self._store.database,
            collection=self._store.name,
            weights=weights.name,
            fingerprint=weights.fingerprint,
            engine=self.embedder.engine,
            query_expansion=self._query_expansion,
            version=__version__,
            copies=self.backfill.progress(count),
            rarity=self.rarity.summary,
            calibration=self.calibrator.summary(count),
        )

    def _observe_stage(self, operation: str, stage: str, seconds: float) -> None:
        if self.observe is not None:
            self.observe(operation, stage, seconds)


def _is_shown(hit: Hit, min_score: float, max_rarity: float | None) -> bool:
    """Whether the score suffices, or something else speaks for the hit."""
    rare = max_rarity is None or (hit.rarity is not None and hit.rarity <= max_rarity)
    return hit.match.is_proven or (hit.score >= min_score and rare)


def _check_limit(limit: int) -> None:
    # The demo's endpoints pass on unvalidated JSON values: a float, a boolean, a string.
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT:
        raise InvalidValue(f"The limit is {limit!r}; it must be an integer from 1 to {MAX_LIMIT}.")
