"""The pipeline that adds images to a gallery in batches: read -> decoded -> embedded -> written.

Each stage takes a batch and returns one of the same length and order, with each image as the type
of that stage. An image that fails becomes an `Added`, which later stages pass through.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np

from bogv.batching import Batcher, prefetch, split
from bogv.clock import Clock
from bogv.copies.near_duplicates import NearDuplicates
from bogv.copies.thresholds import Criteria
from bogv.embedding.embedder import Embedder
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.records import (
    ID_BITS,
    Added,
    NewImage,
    Picture,
    Record,
    Status,
    Vectors,
    check_length,
    image_id,
    md5_of,
)
from bogv.redaction import strip_login
from bogv.storage.milvus import FILEPATH_BYTES, KEY_BYTES, MilvusStore
from bogv.storage.thumbnails import Thumbnails

T = TypeVar("T")
U = TypeVar("U")

BATCH = 32


@dataclass(frozen=True)
class _Item:
    """The identifiers and path of an image to be added."""

    key: str
    md5: str
    given_path: str
    """The filepath given by the caller, empty if none."""
    filepath: str
    """`given_path`, or else the image's origin."""
    id: int
    """The preferred id; `_assign_ids` takes another on a collision."""

    @property
    def identity(self) -> tuple[str, str]:
        """Two images are the same record if this is equal."""
        return self.key, self.md5

    def succeed(self, status: Status, record_id: int) -> Added:
        return Added(status, self.filepath, record_id, self.key)

    def fail(self, error: BogvError) -> Added:
        return Added("failed", self.filepath, key=self.key, error=error)


@dataclass(frozen=True)
class _Read:
    """The bytes are in memory. An image that seems to be in the gallery stays in this stage."""

    item: _Item
    data: bytes


@dataclass(frozen=True)
class _Decoded:
    item: _Item
    picture: Picture


@dataclass(frozen=True)
class _Embedded:
    item: _Item
    picture: Picture
    vector: Vectors  # (2048,) float32

    def record(self, record_id: int, added_at: int) -> Record:
        return Record(
            id=record_id,
            key=self.item.key,
            filepath=self.item.filepath,
            md5=self.item.md5,
            width=self.picture.width,
            height=self.picture.height,
            size=self.picture.size,
            added_at=added_at,
        )


class IngestPipeline:
    """Adds images to one gallery. Thread-safe.

    write_lock: returns a context manager that excludes writes and deletes by other threads of this
    process. observe: called for each batch with `add` or `add_batch`, the stage (`decode`, which
    includes reading, `embed` or `write`) and its seconds.
    """

    def __init__(
        self,
        decoder: Decoder,
        embedder: Embedder,
        store: MilvusStore,
        thumbnails: Thumbnails,
        criteria: Criteria,
        write_lock: Callable[[], AbstractContextManager[None]],
        observe: Callable[[str, str, float], None],
    ) -> None:
        self._decoder = decoder
        self._embedder = embedder
        self._store = store
        self._thumbnails = thumbnails
        self._criteria = criteria
        self._write_lock = write_lock
        self._observe = observe
        self._clock = Clock()
        self._writes = Batcher(self._write, BATCH)
        self._threads = ThreadPoolExecutor(
            decoder.sandbox.max_processes, thread_name_prefix="bogv-decode"
        )

    def close(self) -> None:
        """Wait for the running batches."""
        self._threads.shutdown()

    def add(self, image: NewImage) -> Added:
        """Add one image; writes of several threads share a batch.

        A lookup and a write take a Milvus server some hundred ms, whether for one image or thirty.
        Raises the image's error.
        """
        decoded = self._timed("add", "decode", self._prepare)([image])
        [result] = self._timed("add", "embed", self._embed)(decoded)
        if not isinstance(result, Added):
            [result] = self._timed("add", "write", self._write_shared)([result])
        if result.error is not None:
            raise result.error
        return result

    def add_many(
        self,
        images: Iterable[NewImage],
        seconds: dict[str, float] | None,
        skip_duplicates: bool = False,
    ) -> Iterator[Added]:
        """Add images in batches of BATCH; results in their order. An error fails its image only.

        While a batch is written, the next one is embedded and the one after that is read and
        decoded; at most three are in memory. seconds: accumulates each stage's working time.
        """
        timed = partial(self._timed, "add_batch", seconds=seconds)
        decoded = prefetch(map(timed("decode", self._prepare), split(images, BATCH)))
        embedded = prefetch(map(timed("embed", self._embed), decoded))
        write = partial(self._write, skip_duplicates=skip_duplicates)
        for written in map(timed("write", write), embedded):
            yield from written

    def _prepare(self, images: list[NewImage]) -> list[_Read | _Decoded | Added]:
        return self._decode(list(self._map(_read, images)))

    def _decode(self, batch: Sequence[_Read | Added]) -> list[_Read | _Decoded | Added]:
        """Decode the images that seem to be new; `_write` looks them up again under the lock."""
        read = [image.item for image in batch if isinstance(image, _Read)]
        try:
            found = self._store.get([item.id for item in read], latest=False)
        except BogvError as error:
            return [_fail(image, error) for image in batch]
        known = {(record.key, record.md5) for record in found}

        def decode_new(image: _Read | Added) -> _Read | _Decoded | Added:
            if isinstance(image, Added) or image.item.identity in known:
                return image
            return self._decode_one(image)

        return list(self._map(decode_new, batch))

    def _map(self, work: Callable[[T], U], items: Sequence[T]) -> Iterable[U]:
        return self._threads.map(work, items) if len(items) > 1 else map(work, items)

    def _decode_one(self, image: _Read) -> _Decoded | Added:
        try:
            return _Decoded(image.item, self._decoder.decode(image.data, thumbnail=True))
        except BogvError as error:
            return image.item.fail(error)

    def _embed(self, batch: Sequence[_Read | _Decoded | Added]) -> list[_Read | _Embedded | Added]:
        new = [image for image in batch if isinstance(image, _Decoded)]
        try:
            embedded = self._embed_all(new)
        except BogvError as error:
            return [
                _fail(image, error) if isinstance(image, _Decoded) else image for image in batch
            ]
        results = iter(embedded)
        return [next(results) if isinstance(image, _Decoded) else image for image in batch]

    def _embed_all(self, images: list[_Decoded]) -> list[_Embedded]:
        if not images:
            return []
        vectors = self._embedder.embed(np.stack([image.picture.pixels for image in images]))
        return [
            _Embedded(image.item, image.picture, vector)
            for image, vector in zip(images, vectors, strict=True)
        ]

    def _write_shared(self, batch: list[_Read | _Embedded]) -> list[Added]:
        return list(map(self._writes, batch))

    def _write(
        self, batch: Sequence[_Read | _Embedded | Added], skip_duplicates: bool = False
    ) -> list[Added]:
        """Write the images that are new or have a new path."""
        ready = [image for image in batch if not isinstance(image, Added)]
        try:
            with self._write_lock():
                results = iter(self._write_ready(ready, skip_duplicates))
        except BogvError as error:
            return [_fail(image, error) for image in batch]
        return [image if isinstance(image, Added) else next(results) for image in batch]

    def _write_ready(self, batch: list[_Read | _Embedded], skip_duplicates: bool) -> list[Added]:
        ids, stored = self._assign_ids([image.item for image in batch])
        try:
            pictures = _new_pictures(batch, ids, stored)
            duplicates = NearDuplicates(self._store, pictures, self._criteria.thresholds)
            changes = _Changes(duplicates, skip_duplicates, dict(stored))
            with self._thumbnails.log_intent(list({each for each in ids if each not in stored})):
                return self._write_changes(batch, ids, changes)
        except BogvError as error:
            # Images that were in the gallery with that path already have not failed.
            return [
                image.item.succeed("unchanged", record_id)
                if _is_current(stored.get(record_id), image.item)
                else image.item.fail(error)
                for image, record_id in zip(batch, ids, strict=True)
            ]

    def _write_changes(
        self, batch: list[_Read | _Embedded], ids: list[int], changes: _Changes
    ) -> list[Added]:
        results = []
        for image, record_id in zip(batch, ids, strict=True):
            record = changes.records.get(record_id)
            if _is_current(record, image.item):
                results.append(image.item.succeed("unchanged", record_id))
            elif record is not None:
                if record_id not in changes.vectors:
                    changes.vectors[record_id] = self._store.vector(record_id)
                changes.records[record_id] = replace(record, filepath=image.item.given_path)
                results.append(image.item.succeed("updated", record_id))
            else:
                results.append(self._create(image, record_id, changes))
        if changes.vectors:
            records = [changes.records[each] for each in changes.vectors]
            self._put_hashes(changes.pictures)
            self._store.put(records, np.stack(list(changes.vectors.values())))
        return results

    def _create(self, image: _Read | _Embedded, record_id: int, changes: _Changes) -> Added:
        new = self._complete(image) if isinstance(image, _Read) else image
        if isinstance(new, Added):
            return new
        duplicate = changes.duplicates.find(record_id, new.picture, new.item.md5)
        if duplicate is not None and changes.skip_duplicates:
            return Added("skipped", new.item.filepath, None, new.item.key, None, duplicate)
        self._thumbnails.write(record_id, new.picture.thumbnail or b"")
        changes.pictures[record_id] = new.picture
        changes.records[record_id] = new.record(record_id, self._clock.now())
        changes.vectors[record_id] = new.vector
        changes.duplicates.note(changes.records[record_id], new.picture)
        return replace(new.item.succeed("created", record_id), near_duplicate_of=duplicate)

    def _put_hashes(self, pictures: dict[int, Picture]) -> None:
        if pictures:
            hashes = np.stack([picture.hashes[0] for picture in pictures.values()])
            qualities = [picture.quality for picture in pictures.values()]
            self._store.copies.put(list(pictures), hashes, qualities)

    def _complete(self, image: _Read) -> _Embedded | Added:
        """Decode and embed an image that was deleted since `_decode` found it in the gallery."""
        decoded = self._decode_one(image)
        if isinstance(decoded, Added):
            return decoded
        try:
            [embedded] = self._embed_all([decoded])
        except BogvError as error:
            return image.item.fail(error)
        return embedded

    def _assign_ids(self, items: list[_Item]) -> tuple[list[int], dict[int, Record]]:
        """The id of each item, and the gallery's records that have these ids.

        Ids are 53 bits of a hash. If an id belongs to other bytes or another key (a collision), the
        next id is tried.
        """
        ids = [item.id for item in items]
        stored: dict[int, Record] = {}
        owners: dict[int, tuple[str, str]] = {}
        unassigned = list(range(len(items)))
        while unassigned:
            for record in self._store.get([ids[i] for i in unassigned]):
                stored[record.id] = record
                owners[record.id] = record.key, record.md5
            collided = []
            for i in unassigned:
                if owners.setdefault(ids[i], items[i].identity) != items[i].identity:
                    ids[i] = ids[i] % (2**ID_BITS - 1) + 1
                    collided.append(i)
            unassigned = collided
        return ids, stored

    def _timed(
        self,
        operation: str,
        stage: str,
        work: Callable[[T], U],
        seconds: dict[str, float] | None = None,
    ) -> Callable[[T], U]:
        """Wrap `work`, so that its time is passed to `observe` and added to `seconds`."""

        def timed(batch: T) -> U:
            start = time.perf_counter()
            result = work(batch)
            elapsed = time.perf_counter() - start
            self._observe(operation, stage, elapsed)
            if seconds is not None:
                seconds[stage] = seconds.get(stage, 0.0) + elapsed
            return result

        return timed


@dataclass
class _Changes:
    """The rows to be written in one call to the database."""

    duplicates: NearDuplicates
    skip_duplicates: bool
    """Whether to leave out new images that have one."""
    records: dict[int, Record]
    """By id: the gallery's records, updated with those of the batch."""
    vectors: dict[int, Vectors] = field(default_factory=dict)
    """By id, of the records to be written only."""
    pictures: dict[int, Picture] = field(default_factory=dict)
    """By id, of the new records."""


def _read(image: NewImage) -> _Read | Added:
    filepath = image.filepath or strip_login(image.origin)
    key = None
    try:
        data = image.read()
        md5 = md5_of(data)
        key = image.key or md5
        check_length("key", key, KEY_BYTES)
        check_length("filepath", filepath, FILEPATH_BYTES)
    except BogvError as error:
        return Added("failed", filepath, key=key, error=error)
    return _Read(_Item(key, md5, image.filepath, filepath, image_id(key, md5)), data)


def _fail(image: _Read | _Decoded | _Embedded | Added, error: BogvError) -> Added:
    return image if isinstance(image, Added) else image.item.fail(error)


def _is_current(record: Record | None, item: _Item) -> bool:
    """Whether the gallery has the image, with the given path if there is one."""
    return record is not None and item.given_path in {"", record.filepath}


def _new_pictures(
    batch: Sequence[_Read | _Embedded], ids: Sequence[int], stored: Mapping[int, Record]
) -> dict[int, tuple[Picture, str]]:
    """By id, of the images that aren't in the gallery: the picture, and the MD5 of its file."""
    return {
        record_id: (image.picture, image.item.md5)
        for image, record_id in zip(batch, ids, strict=True)
        if isinstance(image, _Embedded) and record_id not in stored
    }
