"""Galleries of vectors without images in Milvus, made and opened through bogv's own store."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bogv.config import Settings
from bogv.records import Hit, Record, Vectors
from bogv.storage.milvus import Index, MilvusStore

ROWS = 5_000
"""Rows per call to the store."""
CALL_SECONDS = 1800.0
"""Time-out of a call: on a busy machine, Milvus Lite's merge of earlier rows may take long, and a
measurement should wait for it."""


@dataclass(frozen=True)
class GalleryLocation:
    """The location of the vectors' files and of the gallery made from them."""

    folder: Path
    collection: str
    lite: bool
    """False: on the server that the settings name."""

    @property
    def gallery(self) -> Path:
        """(n, dimension) float32, a .npy file."""
        return self.folder / "gallery.npy"

    @property
    def queries(self) -> Path:
        """(queries, dimension) float32, a .npy file."""
        return self.folder / "queries.npy"

    def write_vectors(self, count: int, batches: Iterable[Vectors], queries: Vectors) -> None:
        """Write the vectors to files for other processes. count: of the gallery's vectors."""
        np.save(self.queries, queries)
        shape = (count, queries.shape[1])
        gallery = np.lib.format.open_memmap(self.gallery, "w+", np.float32, shape)
        first = 0
        for batch in batches:
            gallery[first : first + len(batch)] = batch
            first += len(batch)
        gallery.flush()

    def batches(self, rows: int) -> Iterator[Vectors]:
        """The gallery's vectors, (rows, dimension) float32 at a time."""
        vectors: Vectors = np.load(self.gallery, mmap_mode="r")
        for first in range(0, len(vectors), rows):
            yield np.array(vectors[first : first + rows])

    @contextmanager
    def opened(self, index: Index) -> Iterator[MilvusStore]:
        """Open the gallery; it is created if it doesn't exist."""
        with closing(self.store(index)) as store:
            store.open("vectors", np.load(self.queries, mmap_mode="r").shape[1])
            yield store

    def store(self, index: Index) -> MilvusStore:
        """The store, connected, but with no collection created or loaded."""
        if self.lite:
            return MilvusStore.lite(self.folder, self.collection, index, CALL_SECONDS)
        settings = Settings()
        return MilvusStore.server(
            settings.milvus_host or "",
            settings.milvus_port,
            self.collection,
            index,
            user=settings.milvus_user,
            password=settings.milvus_password.get_secret_value(),
            token=settings.milvus_token.get_secret_value(),
        )

    def drop(self) -> None:
        """Delete the gallery on the server."""
        with closing(self.store(Index("FLAT"))) as store:
            store.drop()


@contextmanager
def temporary_gallery(name: str, *, lite: bool) -> Iterator[GalleryLocation]:
    """A folder for the vectors and, with Milvus Lite, the gallery; both removed afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"bogv-{name}-") as folder:
        location = GalleryLocation(Path(folder), f"bogv_{name}_{os.getpid()}", lite)
        try:
            yield location
        finally:
            if not lite:
                location.drop()


def synthetic_record(row: int) -> Record:
    """The record of a row without an image; ids begin at 1, since 0 is not valid."""
    return Record(row + 1, str(row), "", "", 1, 1, 1, added_at=row + 1)


def rows_of(hits: Sequence[Hit]) -> list[int]:
    """The rows of the hits, best first."""
    return [hit.record.id - 1 for hit in hits]


def put_vectors(store: MilvusStore, batches: Iterable[Vectors]) -> None:
    """Put vectors as the rows 0, 1, 2 and so on, a batch at a time."""
    first = 0
    for batch in batches:
        store.put([synthetic_record(first + row) for row in range(len(batch))], batch)
        first += len(batch)
