"""Exact operations on embeddings: unit length, distinct rows, nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.records import Vectors

Indices = NDArray[np.intp]
Doubles = NDArray[np.float64]


def normalise(vectors: Vectors | Doubles) -> Doubles:
    """(n, d) -> (n, d) float64, normalised again, because float32's rounding changed the length.

    A row of zeros stays zero: its cosine to every vector is 0.
    """
    rows = np.array(vectors, np.float64)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return rows


def distinct(vectors: Vectors) -> tuple[Vectors, Indices]:
    """The distinct rows, in the order of their bytes, and which of them each row is."""
    rows = np.ascontiguousarray(vectors)
    as_bytes: NDArray[Any] = rows.view(f"V{rows.itemsize * rows.shape[1]}").ravel()
    _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
    return rows[first], which


@dataclass(frozen=True)
class Neighbours:
    """The result of exact search: the k nearest rows to each query, best first, ties by row."""

    rows: NDArray[np.int64]
    """(queries, k): rows of the gallery."""
    scores: Doubles
    """(queries, k): cosines, in double precision."""
    queries: Doubles
    """(queries, dimension), of length 1."""


def nearest_neighbours(batches: Iterable[Vectors], queries: Vectors, k: int) -> Neighbours:
    """Exact search of a gallery in batches; keeps one batch and the best hits so far in memory.

    batches: (m, dimension) float32 each; queries: (queries, dimension) float32. Double precision,
    for the same reasons as `eval.retrieval.search.rank_exactly`.
    """
    asked = normalise(queries)
    scores = np.full((len(asked), 0), 0.0)
    rows = np.empty((len(asked), 0), np.int64)
    first = 0
    for batch in batches:
        cosines = asked @ normalise(batch).T  # (queries, d) x (d, m) -> (queries, m)
        numbers = np.broadcast_to(np.arange(first, first + len(batch)), cosines.shape)
        first += len(batch)
        scores, rows = np.hstack([scores, cosines]), np.hstack([rows, numbers])
        # Stable, so that ties are in the order of the rows.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores = np.take_along_axis(scores, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
    return Neighbours(rows, scores, asked)
