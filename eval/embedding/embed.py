"""Embeds a dataset's images with bogv's decoder and embedder, and caches the embeddings.

There is a cache for each fingerprint, engine, way of seeing an image (pooling, size, crop,
mirrored), canonical embedding, and versions of the libraries. What is on disk changes no figure: it
is what the embedder gave, bit by bit. What comes after, the mean with the mirror's embedding or
other scales' and PCA, is worked out anew.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from os import cpu_count
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bogv.embedding.embedder import Embedder
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding.backbone import Inputs, dimension_of, prepare
from eval.embedding.cache import Cache, Embedding
from eval.embedding.canonical import canonical_hash, hash_pixels
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.embedding.stored import StoredVectors
from eval.report.machine import embedding_packages
from eval.report.results import short_hash
from eval.vectors import normalise

log = logging.getLogger(__name__)

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
    pixels: list[str] = field(default_factory=list)
    """Hash of what the network sees of each image: equal for the same picture as PNG and WebP."""
    canonical: str = ""
    """Of `eval.embedding.canonical`, taken before the first image was embedded."""
    absent: int = 0
    """How many images can't be read or are empty; only vectors from a file do without. In place of
    their bytes, `digests` has their ids."""


def embed(
    dataset: Dataset,
    embedder: Embedder | StoredVectors,
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
    Vectors from a file are taken as they are; nothing is embedded.

    Raises DatasetError, which names the item, for one that can't be read or decoded;
    WorkbenchError; what the embedder raises.
    """
    if isinstance(embedder, StoredVectors):
        return _look_up(dataset, embedder)
    views = _views(embedder, decoder, settings, load)
    canonical = _join_canonical(views)
    (vectors, digests, pixels, fresh), *others = (
        _embed_view(dataset, view, cache, progress) for view in views
    )
    if others:
        total = sum((other for other, *_ in others), vectors.astype(np.float64))
        vectors = normalise(total).astype(np.float32)
    new = fresh.union(*(more for *_, more in others))
    return Embedded(vectors, digests, len(new), pixels, canonical)


def _look_up(dataset: Dataset, stored: StoredVectors) -> Embedded:
    names = [item.id for item in dataset.items]
    vectors = stored.select(names, is_sample=dataset.sample is not None)
    with ThreadPoolExecutor(cpu_count() or 1) as threads:
        found = list(threads.map(_digest_if_there, dataset.items))
    digests = [
        digest or hashlib.sha256(f"absent: {name}".encode()).hexdigest()
        for name, digest in zip(names, found, strict=True)
    ]
    return Embedded(vectors, digests, pixels=digests, absent=found.count(None))


def _digest_if_there(item: Item) -> str | None:
    """None: it can't be read, or its file is empty, to keep its place in the dataset's list."""
    try:
        data = item.read()
    except OSError:
        return None
    return hashlib.sha256(data).hexdigest() if data else None


def canonical_of(
    embedder: Embedder,
    decoder: Decoder,
    settings: EmbeddingSettings,
    load: Callable[[EmbeddingSettings], Embedder] | None = None,
) -> str:
    """`Embedded.canonical` of these settings, without a dataset; arguments as of `embed`."""
    return _join_canonical(_views(embedder, decoder, settings, load))


def _views(
    embedder: Embedder,
    decoder: Decoder,
    settings: EmbeddingSettings,
    load: Callable[[EmbeddingSettings], Embedder] | None,
) -> list[_View]:
    mirrors = (False, True) if settings.tta == "flip" else (False,)
    return [
        _View(each, decoder, scaled, mirror)
        for scaled in settings.at_scales()
        for each in [embedder if load is None or scaled.size == settings.size else load(scaled)]
        for mirror in mirrors
    ]


def _join_canonical(views: Sequence[_View]) -> str:
    return "-".join(view.canonical for view in views)


@dataclass(frozen=True)
class _View:
    """A pre-processing of images, with a cache of its own."""

    embedder: Embedder
    decoder: Decoder
    settings: EmbeddingSettings
    mirror: bool = False

    @cached_property
    def canonical(self) -> str:
        return canonical_hash(self.embedder, self.decoder, self.settings, mirror=self.mirror)

    def cache(self, folder: Path) -> Cache:
        parts = [
            *(self.embedder.weights.fingerprint, self.embedder.engine, self.settings.view),
            "mirror" if self.mirror else "",
            short_hash([self.canonical, embedding_packages()]),
        ]
        return Cache(folder, "-".join(filter(None, parts)), dimension_of(self.embedder))


def _embed_view(
    dataset: Dataset, view: _View, cache: Path, progress: bool
) -> tuple[Vectors, list[str], list[str], set[str]]:
    """(n, dimension) float32, the items' digests, the hashes of their pixels, and which of the
    digests had to be embedded."""
    items = dataset.items
    vectors = np.empty((len(items), dimension_of(view.embedder)), np.float32)
    digests: list[str] = []
    pixels: list[str] = []
    new: set[str] = set()
    title = "Embedding mirrors" if view.mirror else "Embedding"
    disk = view.cache(cache)
    bar = tqdm(desc=title, total=len(items), unit="image", disable=not progress)
    with closing(disk), ThreadPoolExecutor(cpu_count() or 1) as threads, bar:
        step = _BatchEmbedder(dataset.spec.id, view, disk, threads)
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            names, found, fresh = step.run(batch)
            digests += names
            pixels += [found[name].pixels for name in names]
            vectors[start : start + len(batch)] = [found[name].vector for name in names]
            new |= fresh
            bar.update(len(batch))
    if disk.damaged:
        log.warning(
            "%d embeddings in the cache %s were damaged; they were made again.",
            disk.damaged,
            disk.path,
        )
    return vectors, digests, pixels, new


@dataclass(frozen=True)
class _BatchEmbedder:
    """One batch: read, look up, decode and embed the rest, write that."""

    dataset: str
    view: _View
    cache: Cache
    threads: ThreadPoolExecutor

    def run(self, batch: Sequence[Item]) -> tuple[list[str], dict[str, Embedding], set[str]]:
        """The items' digests, the embeddings by digest, and which of these are new."""
        images = list(self.threads.map(self._read, batch))
        names = [hashlib.sha256(data).hexdigest() for data in images]
        found = self.cache.get(sorted(set(names)))
        # Equal bytes are embedded once: duplicates have the same embedding, to the last bit.
        waiting = {
            name: (item, data)
            for name, item, data in zip(names, batch, images, strict=True)
            if name not in found
        }
        if waiting:
            fresh = dict(zip(waiting, self._embed_images(list(waiting.values())), strict=True))
            self.cache.put(fresh)
            found |= fresh
        return names, found, set(waiting)

    def _embed_images(self, images: list[tuple[Item, bytes]]) -> list[Embedding]:
        pixels = np.stack(list(self.threads.map(self._decode, images)))
        vectors = self._embed(pixels)
        for (item, _), vector in zip(images, vectors, strict=True):
            if not np.isfinite(vector).all():
                raise DatasetError(
                    self.dataset,
                    f"the network gives NaN or infinity for the image {item.id!r}: the weights or"
                    f" the engine ({self.view.embedder.engine}) are broken.",
                )
        return [
            Embedding(vector, hash_pixels(each))
            for vector, each in zip(vectors, pixels, strict=True)
        ]

    def _read(self, item: Item) -> bytes:
        with self._naming_item(item):
            return item.read()

    def _decode(self, image: tuple[Item, bytes]) -> Inputs:
        (item, data), view = image, self.view
        with self._naming_item(item):
            return prepare(view.embedder, data, view.decoder, view.settings, mirror=view.mirror)

    def _embed(self, pixels: Inputs) -> Vectors:
        """(n, ...), inputs of the network -> (n, dimension) float32.

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
