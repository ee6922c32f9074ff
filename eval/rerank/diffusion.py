"""Diffusion on the graph of mutual neighbours, truncated to the top of a query's ranking."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eval.rerank.neighbours import NeighbourLists
from eval.rerank.setting import Diffusion
from eval.vectors import Doubles, Indices

DIGITS = 12
"""Of a result, relative to the largest: what differs by less is rounding, and ties."""


def diffuse(
    nodes: Indices,
    cosines: Doubles,
    lists: NeighbourLists,
    method: Diffusion,
    query: int | None = None,
) -> Doubles:
    """Truncated diffusion: the solution f of (I - alpha S) f = y; (t,), by conjugate gradients.

    nodes: (t,) the positions at the top of a query's ranking, best first; cosines: (t,) to the
    query; query: its own position, if it has one, left out of the lists. With s(x) = max(x, 0)^
    gamma: the affinity a_ij is s(x_i · x_j) where i and j are in each other's k nearest, else 0;
    S = D^(-1/2) A D^(-1/2), D the sums of A's rows, of these nodes alone; y_i = s(x_i · q) for the
    kq nearest to the query, else 0. Largest 1, rounded to DIGITS; without edges, it is y.

    Source: Iscen, Tolias, Avrithis, Furon, Chum, Efficient Diffusion on Region Manifolds:
    Recovering Small Objects with Compact CNN Representations, CVPR 2017, arXiv:1611.05113.
    """
    start = np.zeros(len(nodes))
    start[: method.kq] = np.maximum(cosines[: method.kq], 0) ** method.gamma
    one, other, values = _mutual_edges(nodes, lists, method.gamma, query)
    degrees = np.bincount(one, values, len(nodes))
    scale = 1 / np.sqrt(np.where(degrees > 0, degrees, 1))
    values = method.alpha * values * scale[one] * scale[other]

    def system(x: Doubles) -> Doubles:
        return x - np.bincount(one, values * x[other], len(nodes))

    found = conjugate_gradients(system, start, method.iterations)
    return np.round(found / max(float(np.abs(found).max(initial=0)), np.finfo(float).tiny), DIGITS)


def _mutual_edges(
    nodes: Indices, lists: NeighbourLists, gamma: float, query: int | None
) -> tuple[Indices, Indices, Doubles]:
    """The edges between nodes that list each other: both ends, as indices into `nodes`, and the
    affinities; each edge both ways."""
    index = np.full(len(lists.nodes), -1, np.intp)
    index[nodes] = np.arange(len(nodes))
    ends = index[lists.nodes[nodes]]
    row, column = np.nonzero(lists.kept(nodes, query) & (ends >= 0))
    one, other = row, ends[row, column]
    count = len(nodes)
    mutual = np.isin(one * count + other, other * count + one)
    # The lower end's own cosine for both ways: that of the upper end may differ in its last bit.
    cosines = lists.cosines[nodes[one], column][mutual]
    one, other = one[mutual], other[mutual]
    edge = np.minimum(one, other) * count + np.maximum(one, other)
    _, first, which = np.unique(edge, return_index=True, return_inverse=True)
    return one, other, np.maximum(cosines[first][which], 0) ** gamma


def conjugate_gradients(
    system: Callable[[Doubles], Doubles], right: Doubles, iterations: int, tolerance: float = 1e-6
) -> Doubles:
    """x with system(x) = right, for a symmetric positive definite system; x starts at 0.

    Ends after so many iterations, or where the residual is below tolerance · |right|.
    Source: Hestenes, Stiefel, Methods of Conjugate Gradients for Solving Linear Systems, 1952.
    """
    x, residual = np.zeros_like(right), right.copy()
    direction, squared = residual.copy(), float(right @ right)
    enough = tolerance**2 * squared
    for _ in range(iterations):
        if squared <= enough:
            break
        image = system(direction)
        step = squared / float(direction @ image)
        x += step * direction
        residual -= step * image
        before, squared = squared, float(residual @ residual)
        direction = residual + squared / before * direction
    return x
