"""Alpha query expansion: a query is searched for again together with its nearest neighbours.

Source: Radenović, Tolias, Chum, Fine-tuning CNN Image Retrieval with No Human Annotation,
TPAMI 2019, arXiv:1711.02512, "alpha-weighted query expansion".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bogv.records import Neighbour, Vectors

ALPHA = 3.0
"""The exponent of the cosines: the paper's."""

_Doubles = NDArray[np.float64]


def expand_query(
    query: _Doubles, neighbours: _Doubles, cosines: _Doubles, alpha: float = ALPHA
) -> _Doubles:
    """q' = q + sum over the n nearest of max(q · x_i, 0)^alpha · x_i; not normalised.

    query: (d,); neighbours: (n, d), of length 1; cosines: (n,) -> (d,). alpha = 0 is the plain
    average query expansion; no neighbours give the query.
    """
    expanded: _Doubles = query + np.maximum(cosines, 0) ** alpha @ neighbours
    return expanded


def expand(query: Vectors, neighbours: list[Neighbour]) -> Vectors:
    """The query and its neighbours as one vector of length 1. (d,) float32 -> (d,) float32.

    It is never zero: no neighbour has a negative weight, so q · q' is at least 1.
    """
    vectors = np.array([each.vector for each in neighbours], np.float64).reshape(-1, len(query))
    cosines = np.array([each.score for each in neighbours], np.float64)
    expanded = expand_query(query.astype(np.float64), vectors, cosines)
    return (expanded / np.linalg.norm(expanded)).astype(np.float32)
