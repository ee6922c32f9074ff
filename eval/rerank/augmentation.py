"""Database augmentation: sums of the gallery's vectors and their nearest neighbours."""

from __future__ import annotations

import numpy as np

from bogv.records import Vectors
from eval.rerank.neighbours import NeighbourLists
from eval.vectors import Doubles, Indices, normalise


def augment(
    rows: Indices, vectors: Doubles, lists: NeighbourLists, query: int | None = None
) -> Vectors:
    """DBA: x' = x + sum over its n nearest of (n - r) / n · x_r, r = 1 … n; then of length 1.

    rows: (b,) positions; vectors: (m, d), of length 1; query: left out of all lists
    -> (b, d) float32, as a store has them.

    Source: Arandjelović, Zisserman, Three Things Everyone Should Know to Improve Object Retrieval,
    CVPR 2012, section 5 (a mean); the weights by rank are those of Gordo, Almazán, Revaud, Larlus,
    End-to-End Learning of Deep Visual Representations for Image Retrieval, IJCV 2017.
    """
    kept = lists.kept(rows, query)
    weights = kept * (1 - np.cumsum(kept, axis=1) / max(1, lists.k))
    near = vectors[lists.nodes[rows]]  # (b, n + 1, d)
    return normalise(vectors[rows] + np.einsum("bn,bnd->bd", weights, near)).astype(np.float32)
