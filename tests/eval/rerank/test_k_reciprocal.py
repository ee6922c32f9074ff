from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.rerank.k_reciprocal import Encoding, KReciprocalEncodings, mean_encoding
from eval.rerank.setting import KReciprocal
from eval.vectors import Doubles, Indices


def unit(count: int, dimension: int = 6, seed: int = 0) -> Doubles:
    rows = np.abs(np.random.default_rng(seed).normal(size=(count, dimension)))
    found: Doubles = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def neighbours(vectors: Doubles, width: int) -> tuple[np.typing.NDArray[np.int32], Doubles]:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -9)
    nodes = np.argsort(-cosines, axis=1, kind="stable")[:, :width]
    return nodes.astype(np.int32), np.take_along_axis(cosines, nodes, axis=1)


def encodings(vectors: Doubles, method: KReciprocal) -> KReciprocalEncodings:
    width = min(max(method.k1, method.k2) + 1, len(vectors) - 1)
    return KReciprocalEncodings(*neighbours(vectors, width), vectors, method)


def slow_distances(vectors: Doubles, query: int, method: KReciprocal) -> Doubles:
    """The paper's formulas, one after the other, for one query and all images; (n,)."""
    distance = 1 - vectors @ vectors.T
    count = len(vectors)

    def nearest(i: int, k: int) -> list[int]:
        return [i, *sorted(set(range(count)) - {i}, key=lambda j: (distance[i, j], j))[:k]]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in nearest(i, k) if i in nearest(j, k)}

    def encoded(i: int) -> Doubles:
        near = reciprocal(i, method.k1)
        members = set(near)
        for j in near:
            half = reciprocal(j, round(method.k1 / 2))
            if len(half & near) >= 2 / 3 * len(half):
                members |= half
        return np.array([np.exp(-distance[i, j]) if j in members else 0 for j in range(count)])

    plain = [encoded(i) for i in range(count)]
    own = [np.mean([plain[j] for j in nearest(i, method.k2 - 1)], axis=0) for i in range(count)]
    jaccard = np.array(
        [1 - np.minimum(own[query], v).sum() / np.maximum(own[query], v).sum() for v in own]
    )
    found: Doubles = (1 - method.weight) * jaccard + method.weight * distance[query]
    return found


def ranked(cosines: Doubles, without: int | None = None) -> Indices:
    order = np.argsort(-cosines, kind="stable")
    found: Indices = order[order != without]
    return found


@pytest.mark.parametrize(
    "parameters", [{}, {"k1": 5, "k2": 3}, {"k1": 4, "k2": 1, "lambda": 0}, {"k1": 60, "k2": 9}]
)
def test_it_agrees_with_the_formulas_step_by_step(parameters: dict[str, Any]) -> None:
    method = KReciprocal(**parameters)
    vectors = unit(45)
    found = encodings(vectors, method)
    for query in (0, 7, 44):
        cosines = vectors @ vectors[query]
        nodes = ranked(cosines, query)
        expected = slow_distances(vectors, query, method)[nodes]
        assert found.distances(nodes, cosines[nodes], query) == pytest.approx(expected)


def test_a_pair_is_as_worked_by_hand() -> None:
    """Two pairs, each at cosine 0.8, nothing in common: R* is the pair, V = (1, e^-0.2), and the
    sums of the smaller and of the larger are 2 e^-0.2 and 2."""
    vectors = np.array([[1, 0, 0, 0], [0.8, 0.6, 0, 0], [0, 0, 1, 0], [0, 0, 0.8, 0.6]])
    method = KReciprocal(k1=1, k2=1, **{"lambda": 0.5})
    nodes, cosines = np.array([1, 2, 3]), np.array([0.8, 0, 0])
    found = encodings(vectors, method).distances(nodes, cosines, 0)
    assert found == pytest.approx([(1 - np.exp(-0.2) + 0.2) / 2, 1, 1])


def test_a_query_outside_the_gallery_joins_with_its_reciprocal_neighbours() -> None:
    """With k1 = 1 and k2 = 1, nothing expands: a query that is nearer to an image than that one's
    own neighbour has the image in its set, and is in the image's."""
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]])
    query = np.array([0.96, 0.28])
    cosines = vectors @ query
    nodes = ranked(cosines)
    method = KReciprocal(k1=1, k2=1, **{"lambda": 0})
    found = encodings(vectors, method).distances(nodes, cosines[nodes], None)
    assert nodes.tolist() == [0, 1, 2]
    # R(q) = {q, 0}; V_q = (e^-0.04 at 0, 1 at q); V_0 = (1 at 0, e^-0.04 at q).
    shared = np.exp(-0.04)
    assert found == pytest.approx([1 - 2 * shared / 2, 1, 1])


def test_a_query_that_nobody_lists_is_alone() -> None:
    vectors = np.array([[1, 0, 0], [0.99, 0.14, 0], [0.99, 0, 0.14]])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ np.array([0, 0.6, 0.8])
    nodes = ranked(cosines)
    method = KReciprocal(k1=1, k2=1, **{"lambda": 0.25})
    found = encodings(vectors, method).distances(nodes, cosines[nodes], None)
    assert found == pytest.approx(0.75 + 0.25 * (1 - cosines[nodes]))


def test_queries_outside_do_not_change_the_gallery() -> None:
    vectors = unit(30)
    found = encodings(vectors, KReciprocal(k1=6, k2=3))
    asked = unit(3, seed=1)
    before, between, after = (
        found.distances(ranked(vectors @ q), np.sort(vectors @ q)[::-1], None)
        for q in (asked[0], asked[1], asked[0])
    )
    assert before.tobytes() == after.tobytes()
    assert before.tobytes() != between.tobytes()
    assert found.bytes_per_vector > 0


def test_a_mean_counts_what_is_missing_as_zero() -> None:
    one = Encoding(np.array([0, 3]), np.array([1.0, 0.5]))
    mean = mean_encoding([one, Encoding(np.array([3, 4]), np.array([0.5, 0.25]))])
    assert mean.nodes.tolist() == [0, 3, 4]
    assert mean.values.tolist() == [0.5, 0.5, 0.125]
