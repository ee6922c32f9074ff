"""Hashes the images of a gallery that were added by a version of bogv without hashes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np

from bogv.copies.stored import decode_thumbnail
from bogv.imaging.decoder import Decoder
from bogv.records import CopyProgress
from bogv.storage.filters import id_ranges
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)

BATCH = 32
IDS_PER_QUERY = 500


class Backfill:
    """Hashes images from their thumbnails, until each image of one gallery has a hash.

    write_lock: returns a context manager that excludes writes and deletes, also by other servers.
    """

    def __init__(
        self,
        store: MilvusStore,
        thumbnails: Thumbnails,
        decoder: Decoder,
        write_lock: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._store = store
        self._thumbnails = thumbnails
        self._decoder = decoder
        self._write_lock = write_lock
        self._missing = 0
        self._unreadable = 0

    @property
    def is_complete(self) -> bool:
        """Whether each image has a hash; an image that is added now gets one."""
        return not self._missing

    def progress(self, total: int) -> CopyProgress:
        """total: the images in the gallery."""
        missing = min(self._missing, total)
        return CopyProgress(total, missing, min(self._unreadable, missing))

    def count_missing(self) -> None:
        """Compare the numbers of images and of hashes. Raises DatabaseUnavailable."""
        self._missing = max(self._store.count() - self._store.copies.count(), 0)

    def run(self, stop: threading.Event) -> None:
        """Hash all images without a hash; it ends early if `stop` is set, and a later run goes on.

        An image whose thumbnail is missing or damaged is logged and left out. For low priority, one
        image is decoded at a time, and half of the time nothing is done.

        Raises DatabaseUnavailable, StorageUnavailable, Unavailable.
        """
        self.count_missing()
        if self.is_complete:
            return
        log.info("Hashing %d images from their thumbnails, to find copies", self._missing)
        self._unreadable = 0
        for ids in self._batches_without_hash():
            start = time.monotonic()
            self._hash(ids)
            if stop.wait(time.monotonic() - start):
                return
        self._missing = self._unreadable
        log.info("Images are hashed; %d have no readable thumbnail", self._unreadable)

    def _batches_without_hash(self) -> Iterator[list[int]]:
        for start, end in id_ranges(self._store.count(), IDS_PER_QUERY):
            hashed = set(self._store.copies.get_ids_between(start, end))
            ids = [i for i in self._store.get_ids_between(start, end) if i not in hashed]
            for first in range(0, len(ids), BATCH):
                yield ids[first : first + BATCH]

    def _hash(self, ids: list[int]) -> None:
        decoded = ((i, decode_thumbnail(self._thumbnails, self._decoder, i)) for i in ids)
        pictures = {i: picture for i, picture in decoded if picture is not None}
        self._unreadable += len(ids) - len(pictures)
        with self._write_lock():
            there = [record.id for record in self._store.get(list(pictures))]
            if there:
                hashes = np.stack([pictures[i].hashes[0] for i in there])
                self._store.copies.put(there, hashes, [pictures[i].quality for i in there])
        self._missing = max(self._missing - len(pictures), self._unreadable)
