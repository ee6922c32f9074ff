"""Embeds a dataset's images with bogv's decoder and embedder, and caches the embeddings.

Kept in one SQLite file for each fingerprint, engine and way of seeing an image (pooling, size,
crop, mirrored), by the SHA-256 of the image's bytes: SQLite writes a batch whole or not at all, so
an interrupted run leaves nothing half, and the next one goes on from there. What is on disk changes
no figure: it is what the embedder gave, bit by bit. What comes after, the mean with the mirror's
embedding or other scales' and PCA, is worked out anew.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from os import cpu_count
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels, Vectors
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings, prepare_input
from eval.errors import WorkbenchError
from eval.vectors import normalise

BATCH = 64


@dataclass(frozen=True)
class Embedded:
    """The embeddings of a dataset's items, in their order."""

    vectors: Vectors
    """(n, dimension) float32, each of length 1."""
    digests: list[str]
    """SHA-256 of each image's bytes, 64 hex digits."""
    new: int = 0
    """How many had to be embedded; the others were on disk, or had the same bytes. An image and its
    mirror are one."""


class Cache:
    """Embeddings on disk, by the SHA-256 of the bytes. Raises WorkbenchError for a broken file."""

    def __init__(self, folder: Path, fingerprint: str, engine: str, view: str = "") -> None:
        parts = [fingerprint, engine, *([view] if view else [])]
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts))
        self.path = folder / f"{name}.sqlite"
        with self._translating_errors():
            folder.mkdir(parents=True, exist_ok=True)
            # A second run on the same file waits for its turn to write.
            self._database = sqlite3.connect(self.path, timeout=60)
        try:
            with self._translating_errors(), self._database:
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings (sha256 TEXT PRIMARY KEY, vector BLOB)"
                )
        except WorkbenchError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get(self, digests: Sequence[str]) -> dict[str, Vectors]:
        """The cached embeddings; digest -> (dimension,) float32."""
        marks = ",".join("?" * len(digests))
        query = f"SELECT sha256, vector FROM embeddings WHERE sha256 IN ({marks})"  # noqa: S608
        with self._translating_errors():
            rows = self._database.execute(query, list(digests)).fetchall()
        return {digest: np.frombuffer(vector, "<f4") for digest, vector in rows}

    def put(self, vectors: Mapping[str, Vectors]) -> None:
        """Write a batch atomically."""
        rows = [(digest, vector.astype("<f4").tobytes()) for digest, vector in vectors.items()]
        with self._translating_errors(), self._database:
            self._database.executemany("INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows)

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise WorkbenchError(
                f"The cache {str(self.path)!r} can't be used: {error}. Remove it, or name another"
                " folder with --cache."
            ) from error


def embed(
    dataset: Dataset,
    embedder: Embedder,
    decoder: Decoder,
    cache: Path,
    *,
    settings: EmbeddingSettings = OWN_SETTINGS,
    load: Callable[[EmbeddingSettings], Embedder] | None = None,
    progress: bool = True,
) -> Embedded:
    """Embed all items; what `cache` (a folder) has is not embedded again.

    embedder: of the variant's network. load: loads that of another size, for the scales; None: this
    one takes inputs of any size. The variant's `post` is left to `eval.embedding.projection`.

    Raises DatasetError, which names the item, for one that can't be read or decoded;
    WorkbenchError; what the embedder raises.
    """
    mirrors = (False, True) if settings.tta == "flip" else (False,)
    views = [
        _View(each, decoder, scaled, mirror)
        for scaled in settings.at_scales()
        for each in [embedder if load is None or scaled.size == settings.size else load(scaled)]
        for mirror in mirrors
    ]
    (vectors, digests, fresh), *others = (
        _embed_view(dataset, view, cache, progress) for view in views
    )
    if others:
        total = sum((other for other, _, _ in others), vectors.astype(np.float64))
        vectors = normalise(total).astype(np.float32)
    return Embedded(vectors, digests, len(fresh.union(*(more for _, _, more in others))))


@dataclass(frozen=True)
class _View:
    """A pre-processing of images, with a cache of its own."""

    embedder: Embedder
    decoder: Decoder
    settings: EmbeddingSettings
    mirror: bool = False

    def cache(self, folder: Path) -> Cache:
        parts = [self.settings.view, "mirror" if self.mirror else ""]
        name = "-".join(filter(None, parts))
        return Cache(folder, self.embedder.weights.fingerprint, self.embedder.engine, name)


def _embed_view(
    dataset: Dataset, view: _View, cache: Path, progress: bool
) -> tuple[Vectors, list[str], set[str]]:
    """(n, dimension) float32, the items' digests, and which of these had to be embedded."""
    items = dataset.items
    vectors = np.empty((len(items), DIMENSION), np.float32)
    digests: list[str] = []
    new: set[str] = set()
    title = "Embedding mirrors" if view.mirror else "Embedding"
    bar = tqdm(desc=title, total=len(items), unit="image", disable=not progress)
    disk = view.cache(cache)
    with closing(disk), ThreadPoolExecutor(cpu_count() or 1) as threads, bar:
        step = _BatchEmbedder(dataset.spec.id, view, disk, threads)
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            names, found, fresh = step.run(batch)
            digests += names
            vectors[start : start + len(batch)] = [found[name] for name in names]
            new |= fresh
            bar.update(len(batch))
    return vectors, digests, new


@dataclass(frozen=True)
class _BatchEmbedder:
    """One batch: read, look up, decode and embed the rest, write that."""

    dataset: str
    view: _View
    cache: Cache
    threads: ThreadPoolExecutor

    def run(self, batch: Sequence[Item]) -> tuple[list[str], dict[str, Vectors], set[str]]:
        """The items' digests, the embeddings by digest, and which of these are new."""
        images = list(self.threads.map(self._read, batch))
        names = [hashlib.sha256(data).hexdigest() for data in images]
        found = self.cache.get(sorted(set(names)))
        # Equal bytes are embedded once: duplicates have the same embedding, to the last bit.
        waiting = {
            name: (item, data)
            for name, item, data in zip(names, batch, images, strict=True)
            if name not in found or found[name].shape != (DIMENSION,)
        }
        if waiting:
            pixels = np.stack(list(self.threads.map(self._decode, waiting.values())))
            fresh = dict(zip(waiting, self._embed(pixels), strict=True))
            self.cache.put(fresh)
            found |= fresh
        return names, found, set(waiting)

    def _read(self, item: Item) -> bytes:
        with self._naming_item(item):
            return item.read()

    def _decode(self, image: tuple[Item, bytes]) -> Pixels:
        item, data = image
        with self._naming_item(item):
            view = self.view
            return prepare_input(data, view.decoder, view.settings, mirror=view.mirror)

    def _embed(self, pixels: Pixels) -> Vectors:
        """(n, size, size, 3) uint8 -> (n, dimension) float32.

        OpenVINO has one model for a single image and one for more, whose last bits may differ: a
        lone image goes in twice, so that a run that was interrupted gives what any other gives.
        """
        if len(pixels) == 1:
            return self.view.embedder.embed(np.repeat(pixels, 2, axis=0))[:1]
        return self.view.embedder.embed(pixels)

    @contextmanager
    def _naming_item(self, item: Item) -> Iterator[None]:
        try:
            yield
        except (BogvError, OSError) as error:
            raise DatasetError(
                self.dataset, f"the image {item.id!r} can't be used: {error}"
            ) from error
