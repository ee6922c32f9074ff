from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.rerank.diffusion import conjugate_gradients, diffuse
from eval.rerank.neighbours import NeighbourLists
from eval.rerank.setting import Diffusion
from eval.vectors import Doubles


def lists(rows: list[list[int]], cosine: float = 1.0) -> NeighbourLists:
    nodes = np.array(rows, np.int32)
    return NeighbourLists(nodes.shape[1], nodes, np.full(nodes.shape, cosine))


def diffused(
    found: NeighbourLists, cosines: list[float], query: int | None = None, **parameters: Any
) -> Doubles:
    method = Diffusion(**{"gamma": 1, "kq": 1, "alpha": 0.5, **parameters})
    return diffuse(np.arange(len(cosines)), np.array(cosines), found, method, query)


def test_a_path_of_three_is_as_worked_by_hand() -> None:
    """a - b - c: S_ab = S_bc = 1/sqrt(2). With y = (1, 0, 0) and alpha = 1/2, the solution is
    (7/6, 2/(3 sqrt(2)), 1/6), whose largest is then 1."""
    found = diffused(lists([[1, 2], [0, 2], [1, 3], [0, 1]]), [1, 0.5, 0.2])
    assert found == pytest.approx([1, 4 / (7 * 2**0.5), 1 / 7])


def test_one_who_isnt_listed_in_return_is_no_neighbour() -> None:
    found = diffused(lists([[1], [0], [1]]), [1, 0.5, 0.2])
    assert found.tolist() == pytest.approx([1, 0.5, 0])


def test_images_below_the_top_are_not_in_the_graph() -> None:
    found = diffused(lists([[1], [0], [1]]), [1])
    assert found.tolist() == [1]


def test_without_edges_it_is_the_similarity_to_the_nearest() -> None:
    cosines = [0.8, 0.6, 0.5]
    empty = NeighbourLists(0, np.array([[1], [2], [0]], np.int32), np.ones((3, 1)))
    found = diffused(empty, cosines, kq=2, gamma=2)
    assert found == pytest.approx([1, 0.36 / 0.64, 0])
    assert diffused(lists([[1], [0], [0]]), cosines, kq=3, alpha=0) == pytest.approx(
        np.array(cosines) / 0.8
    )


def test_a_cosine_below_0_starts_nothing_and_is_no_edge() -> None:
    assert diffused(lists([[1], [0]], cosine=-0.5), [-0.1, -0.2]).tolist() == [0, 0]


def test_a_query_in_the_gallery_connects_nothing() -> None:
    """Both list the node 2 and then each other. As the query, it is left out of their lists."""
    nodes = np.array([[2, 1], [2, 0], [0, 1]], np.int32)
    found = NeighbourLists(1, nodes, np.ones(nodes.shape))
    assert diffused(found, [1, 0.5]).tolist() == [1, 0]
    assert diffused(found, [1, 0.5], query=2).tolist() == pytest.approx([1, 0.5])


def test_conjugate_gradients_solve_a_symmetric_system() -> None:
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    matrix, right = root @ root.T + np.eye(12), rng.normal(size=12)
    found = conjugate_gradients(lambda x: matrix @ x, right, 100, 1e-12)
    assert found == pytest.approx(np.linalg.solve(matrix, right))
    assert conjugate_gradients(lambda x: matrix @ x, np.zeros(12), 10).tolist() == [0] * 12


def test_it_ends_after_its_iterations() -> None:
    calls = []

    def system(x: Doubles) -> Doubles:
        calls.append(1)
        return x * np.arange(1, 9)

    conjugate_gradients(system, np.ones(8), 3)
    assert len(calls) == 3
