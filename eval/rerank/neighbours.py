"""The k-nearest-neighbour lists of a gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.vectors import Doubles, Indices

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class NeighbourLists:
    """The nearest neighbours of each image of the gallery, best first, itself excluded by its id.

    `k` + 1 of them, or as many as there are: the last one moves up where a query, as part of the
    gallery, is left out of the lists.
    """

    k: int
    nodes: NDArray[np.int32]
    """(m, at most k + 1): positions in the gallery."""
    cosines: Doubles
    """Of the same shape."""

    def kept(self, rows: Indices, query: int | None) -> Mask:
        """Which entries of these rows' lists are the first k without `query`, a position."""
        others = self.nodes[rows] != (-1 if query is None else query)
        first_k: Mask = others & (np.cumsum(others, axis=1) <= self.k)
        return first_k

    @property
    def bytes_per_vector(self) -> float:
        """Bytes for the first k of each list."""
        per_entry = self.nodes.itemsize + self.cosines.itemsize
        return float(min(self.k, self.nodes.shape[1]) * per_entry)
