"""What the product would know of a query and the images that it looks at: hash, network, geometry.

Bits, cosines and inliers are those of bogv's own modules: a query as it is decoded for a search, a
hit as its thumbnail is.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from os import cpu_count

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from bogv.copies.geometry import NO_AGREEMENT, Agreement, Features, describe, verify
from bogv.copies.verifier import MAX_HITS
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.records import MIN_QUALITY, Picture, Pixels
from bogv.storage.copies import MAX_DISTANCE
from eval.copies.queries import CopyQueries
from eval.data.catalogue import DatasetError
from eval.embedding.embed import Embedded
from eval.vectors import Indices, normalise

CACHED = 4096
"""Pictures of the gallery whose features are kept, 160 kB each."""


@dataclass(frozen=True)
class Pair:
    """A query and an image of the gallery."""

    image: int
    """Index into the items."""
    exact: bool
    """Equal files."""
    distance: int | None
    """Bits between the hashes, in the nearest of eight orientations; None: over MAX_DISTANCE, or
    one of the two is too plain."""
    cosine: float
    hit: bool
    """Among the first MAX_HITS of the network."""
    agreement: Agreement = NO_AGREEMENT


@dataclass(frozen=True)
class Search:
    """One search: the images that the product looks at, in the order of their cosines."""

    query: int
    there: bool
    """Whether the original is in the gallery that is searched."""
    pairs: list[Pair]
    """Hits of the network, at most MAX_HITS, then candidates by hash that aren't among them."""


class Evidence:
    """Finds the evidence of queries against a gallery."""

    def __init__(self, queries: CopyQueries, embedded: Embedded, decoder: Decoder) -> None:
        self._queries, self._digests, self._decoder = queries, embedded.digests, decoder
        self._size = len(queries.edited.dataset.gallery)
        self._vectors = normalise(embedded.vectors)
        self._stored: list[Picture] = []
        self._features = lru_cache(CACHED)(self._describe_hit)

    def searches(self, progress: bool = True) -> Iterator[Search]:
        """The searches with all queries: with the original, if there is one, and without it.

        Raises DatasetError, which names the image, for one that can't be read.
        """
        asked = self._queries.edited.dataset.queries
        with ThreadPoolExecutor(cpu_count() or 1) as threads:
            pictures = threads.map(lambda image: self._decode(image, thumbnail=True), self._images)
            bar = tqdm(pictures, "Hashing", self._size, unit="image", disable=not progress)
            self._stored = list(bar)
            found = threads.map(self._search, asked)
            yield from chain.from_iterable(
                tqdm(found, "Comparing", len(asked), unit="query", disable=not progress)
            )

    @property
    def _images(self) -> range:
        return range(self._size)

    def _search(self, query: int) -> list[Search]:
        picture = self._decode(query, reduced=True)
        distances = self._distances(picture)
        cosines = self._vectors[: self._size] @ self._vectors[query]
        order = np.argsort(-cosines, kind="stable")  # ties by id: the gallery is sorted by it
        features = _describe(picture)

        @cache
        def agreement(image: int) -> Agreement:
            return verify(features, self._features(image))

        def pair(image: int, *, hit: bool) -> Pair:
            exact = self._digests[image] == self._digests[query]
            cosine = float(cosines[image])
            return Pair(image, exact, distances.get(image), cosine, hit, agreement(image))

        def search(ranked: Indices, *, there: bool) -> Search:
            hits, others = ranked[:MAX_HITS].tolist(), ranked[MAX_HITS:].tolist()
            pairs = [pair(image, hit=True) for image in hits]
            pairs += [pair(image, hit=False) for image in others if image in distances]
            return Search(query, there, pairs)

        without = order[~np.isin(order, self._queries.originals(query))]
        found = [search(without, there=False)]
        if query in self._queries.edited.questions:
            found.append(search(order, there=True))
        return found

    def _distances(self, picture: Picture) -> dict[int, int]:
        """Of the images within MAX_DISTANCE that aren't too plain, by index."""
        if picture.quality < MIN_QUALITY:
            return {}
        stored = np.stack([each.hashes[0] for each in self._stored])
        bits = hamming(picture.hashes, stored).min(axis=0)
        plain = np.array([each.quality < MIN_QUALITY for each in self._stored])
        near = np.flatnonzero((bits <= MAX_DISTANCE) & ~plain)
        return dict(zip(near.tolist(), bits[near].tolist(), strict=True))

    def _describe_hit(self, image: int) -> Features:
        thumbnail = self._stored[image].thumbnail
        if thumbnail is None:
            raise AssertionError("It was asked for.")
        return _describe(self._decoder.decode(thumbnail, reduced=True))

    def _decode(self, index: int, *, thumbnail: bool = False, reduced: bool = False) -> Picture:
        item = self._queries.items[index]
        try:
            return self._decoder.decode(item.read(), thumbnail, reduced)
        except (BogvError, OSError) as error:
            raise DatasetError(
                self._queries.edited.dataset.spec.id,
                f"the image {item.id!r} can't be used: {error}",
            ) from error


def _describe(picture: Picture) -> Features:
    if picture.reduced is None:
        raise AssertionError("It was asked for.")
    return describe(picture.reduced)


def hamming(a: Pixels, b: Pixels) -> NDArray[np.int_]:
    """The bits that differ. a: (m, 32) uint8, b: (n, 32) uint8 -> (m, n).

    >>> hamming(np.array([[0, 255]], np.uint8), np.array([[1, 255], [0, 0]], np.uint8)).tolist()
    [[1, 8]]
    """
    bits: NDArray[np.int_] = np.bitwise_count(a[:, np.newaxis] ^ b).sum(axis=2, dtype=np.int_)
    return bits
