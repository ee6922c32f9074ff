"""k-reciprocal encodings of a gallery, and a query's distances by them.

Source: Zhong, Zheng, Cao, Li, Re-ranking Person Re-identification with k-reciprocal Encoding,
CVPR 2017, arXiv:1701.08398. With d(i, j) = 1 - cosine, N(i, k) the k nearest of i and i itself:

    R(i, k)   = {j in N(i, k): i in N(j, k)}
    R*(i)     = R(i, k1) and each R(j, k1 / 2), j in R(i, k1), of which at least 2/3 are in R(i, k1)
    V_i[j]    = exp(-d(i, j)) for j in R*(i), else 0
    V'_i      = mean of V_j over i and its k2 - 1 nearest
    jaccard   = 1 - sum min(V'_q, V'_j) / sum max(V'_q, V'_j)
    distance  = (1 - lambda) · jaccard + lambda · d(q, j)

Their code divides d by its largest; a cosine distance is 0 to 1 as it is. A query outside the
gallery joins the graph with its own reciprocal neighbours alone: the gallery's lists and sets,
which are computed once, stay as they are without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.rerank.setting import KReciprocal
from eval.vectors import Doubles, Indices


@dataclass(frozen=True)
class Encoding:
    """A sparse vector over the gallery."""

    nodes: Indices
    values: Doubles


def mean_encoding(encodings: Sequence[Encoding]) -> Encoding:
    """The mean of sparse vectors: local query expansion."""
    nodes = np.concatenate([each.nodes for each in encodings])
    values = np.concatenate([each.values for each in encodings])
    there, which = np.unique(nodes, return_inverse=True)
    return Encoding(there, np.bincount(which, values, len(there)) / len(encodings))


class KReciprocalEncodings:
    """The encodings of a gallery, by column, and a query's distances to it."""

    def __init__(
        self,
        lists: NDArray[np.int32],
        cosines: Doubles,
        vectors: Doubles,
        method: KReciprocal,
    ) -> None:
        """lists, cosines: (m, at least max(k1, k2)) nearest neighbours, themselves left out, or
        all others; vectors: (m, d), of length 1, all sorted by id."""
        self._method = method
        self._vectors = vectors
        k1, half = method.k1, round(method.k1 / 2)
        self._lists = lists[:, : max(k1, method.k2 - 1)]
        everyone = lists.shape[1] < k1
        self._last = np.full(len(lists), -np.inf) if everyone else cosines[:, k1 - 1]
        self._whole = [self._reciprocal(node, k1) for node in range(len(lists))]
        self._halves = [self._reciprocal(node, half) for node in range(len(lists))]
        self._plain = [self._encode(node) for node in range(len(lists))]
        self._near = np.column_stack([np.arange(len(lists)), self._lists[:, : method.k2 - 1]])
        self._own = [mean_encoding([self._plain[j] for j in row]) for row in self._near.tolist()]
        self._sums = np.array([each.values.sum() for each in self._own])
        self._store_by_column()

    @property
    def bytes_per_vector(self) -> float:
        """Of the encodings before and after their mean, the lists and half the sets."""
        pairs = [*self._plain, *self._own]
        held = sum(each.nodes.nbytes + each.values.nbytes for each in pairs)
        held += self._lists.nbytes + 8 * len(self._lists)  # and the k1-th cosine
        held += sum(4 * len(each) for each in self._halves)
        return float(held / max(1, len(self._lists)))

    def distances(self, nodes: Indices, cosines: Doubles, query: int | None) -> Doubles:
        """(n,): the final distance of each of the nodes, best first by cosine, which are all but
        the query. query: its own node, if it is in the gallery."""
        if query is None:
            encoding, column, own = self._join(nodes, cosines)
        else:
            encoding, column, own = self._own[query], np.zeros(len(self._lists)), 0.0
        least = self._sum_of_least(encoding) + np.minimum(column, own)
        most = self._sums + column + float(encoding.values.sum()) + own - least
        jaccard = 1 - least[nodes] / most[nodes]
        return (1 - self._method.weight) * jaccard + self._method.weight * (1 - cosines)

    def _reciprocal(self, node: int, k: int) -> frozenset[int]:
        near = self._lists[node, :k]
        mutual = (self._lists[near, :k] == node).any(axis=1)
        return frozenset([node, *near[mutual].tolist()])

    def _expand(self, whole: frozenset[int]) -> list[int]:
        """R* of R, ascending, of nodes of the gallery."""
        halves = [self._halves[node] for node in whole]
        near = [half for half in halves if 3 * len(half & whole) >= 2 * len(half)]
        return sorted(whole.union(*near))

    def _encode(self, node: int) -> Encoding:
        members = np.array(self._expand(self._whole[node]))
        cosines = self._vectors[members] @ self._vectors[node]
        return Encoding(members, np.exp(cosines - 1))

    def _store_by_column(self) -> None:
        rows = np.repeat(np.arange(len(self._own)), [len(each.nodes) for each in self._own])
        columns = np.concatenate([each.nodes for each in self._own])
        values = np.concatenate([each.values for each in self._own])
        by_column = np.argsort(columns, kind="stable")
        self._rows, self._values = rows[by_column], values[by_column]
        self._starts = np.searchsorted(columns[by_column], np.arange(len(self._own) + 1))

    def _sum_of_least(self, encoding: Encoding) -> Doubles:
        """(m,): the sum of the smaller of both, over the columns of the encoding."""
        least = np.zeros(len(self._own))
        for node, value in zip(encoding.nodes.tolist(), encoding.values.tolist(), strict=True):
            part = slice(self._starts[node], self._starts[node + 1])
            least[self._rows[part]] += np.minimum(self._values[part], value)
        return least

    def _join(self, nodes: Indices, cosines: Doubles) -> tuple[Encoding, Doubles, float]:
        """The encoding of a query outside the gallery; the gallery's in its column; and its own."""
        plain, mutual = self._encode_query(nodes, cosines)
        near = nodes[: self._method.k2 - 1]
        encoding = mean_encoding([plain, *(self._plain[node] for node in near.tolist())])
        column = np.zeros(len(self._lists))
        column[nodes[mutual]] = np.exp(cosines[mutual] - 1)
        own = (1 + float(column[near].sum())) / (1 + len(near))
        return encoding, column[self._near].mean(axis=1), own

    def _encode_query(self, nodes: Indices, cosines: Doubles) -> tuple[Encoding, Indices]:
        """Without its own column, and which of the nodes are its reciprocal neighbours."""
        first = nodes[: self._method.k1]
        mutual = np.flatnonzero(cosines[: len(first)] >= self._last[first])
        members = self._expand(frozenset(first[mutual].tolist()))
        cosine_of = np.zeros(len(self._lists))
        cosine_of[nodes] = cosines
        return Encoding(np.array(members, np.intp), np.exp(cosine_of[members] - 1)), mutual
