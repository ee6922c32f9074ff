"""Synthetic embeddings that lie as a network's do: in clusters, no number below zero, of length 1.

For measurements of an index, which needs many vectors and no images. What is found among them says
nothing of images. Gaussian noise would not do: in 2048 dimensions all its points are as good as
equally far from each other, and no index finds neighbours that hardly are any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bogv.embedding.weights import DIMENSION
from bogv.records import Vectors

BLOCK = 1024
"""Vectors generated at once; each block has a seed of its own."""
_CENTRES, _DIRECTIONS, _GALLERY, _QUERIES = range(4)


@dataclass(frozen=True)
class Clustered:
    """A distribution of vectors, the same for the same fields.

    A vector is max(0, centre + spread * z @ directions + noise * e), scaled to length 1: its
    cluster's centre, drawn from max(0, N(0, 1)) in each dimension; a step in the few directions in
    which all clusters vary, z ~ N(0, 1); and a little of everything, e ~ N(0, 1). max(0, ...)
    stands for ResNet50's last ReLU. All clusters are equally likely.

    The more `spread`, the more clusters run into each other and the harder the search; `rank` is
    the number of the directions, which is about the intrinsic dimension.
    """

    seed: int = 0
    dimension: int = DIMENSION
    clusters: int = 200
    spread: float = 1.25
    rank: int = 32
    noise: float = 0.25

    def gallery(self, count: int, batch: int = BLOCK) -> Iterator[Vectors]:
        """`count` vectors in batches of (batch, dimension) float32, the last one shorter.

        Holds a batch and a block. The batch's size changes no vector, and neither does `count`:
        the first 1000 of a million are the first 1000 of ten thousand.
        """
        return self._batches(_GALLERY, count, batch)

    def queries(self, count: int) -> Vectors:
        """(count, dimension) float32 from the same clusters, not in the gallery."""
        return next(self._batches(_QUERIES, count, count))

    def _batches(self, stream: int, count: int, batch: int) -> Iterator[Vectors]:
        if count < 1 or batch < 1:
            raise ValueError(f"{count} vectors in batches of {batch} are none.")
        waiting = np.empty((0, self.dimension), np.float32)
        remaining = count
        for number in range(-(-count // BLOCK)):
            # Always a complete block, even if less is needed, so that its values don't change.
            block = self._block(stream, number)[:remaining]
            remaining -= len(block)
            waiting = np.concatenate([waiting, block])
            while len(waiting) >= batch:
                yield waiting[:batch].copy()
                waiting = waiting[batch:]
        if len(waiting):
            yield waiting

    def _block(self, stream: int, number: int) -> Vectors:
        """(BLOCK, dimension) float32."""
        generator = np.random.default_rng([self.seed, stream, number])
        members = generator.integers(0, self.clusters, BLOCK)
        steps = generator.standard_normal((BLOCK, self.rank), np.float32)
        rows: Vectors = generator.standard_normal((BLOCK, self.dimension), np.float32)
        rows *= np.float32(self.noise)
        rows += self._centres[members]
        rows += np.float32(self.spread) * (steps @ self._directions)
        np.maximum(rows, 0, out=rows)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return rows

    @cached_property
    def _centres(self) -> Vectors:
        """(clusters, dimension) float32."""
        generator = np.random.default_rng([self.seed, _CENTRES])
        drawn = generator.standard_normal((self.clusters, self.dimension), np.float32)
        centres: Vectors = np.maximum(drawn, 0)
        return centres

    @cached_property
    def _directions(self) -> Vectors:
        """(rank, dimension) float32; a step has length 1 in each dimension, on average."""
        generator = np.random.default_rng([self.seed, _DIRECTIONS])
        drawn: Vectors = generator.standard_normal((self.rank, self.dimension), np.float32)
        return drawn / np.float32(np.sqrt(self.rank))
