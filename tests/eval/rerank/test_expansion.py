from __future__ import annotations

import numpy as np
import pytest

from eval.rerank.expansion import augment, expand_query
from eval.rerank.neighbours import NeighbourLists
from eval.vectors import Doubles

QUERY = np.array([1.0, 0, 0])
NEAR = np.array([[0.8, 0.6, 0], [0.6, 0, 0.8], [-1, 0, 0]])


def test_neighbours_count_by_their_cosine_to_the_power_of_alpha() -> None:
    found = expand_query(QUERY, NEAR, NEAR @ QUERY, 2)
    # 1 + 0.64 · 0.8 + 0.36 · 0.6; 0.64 · 0.6; 0.36 · 0.8. The cosine below 0 counts as 0.
    assert found == pytest.approx([1.728, 0.384, 0.288])


def test_alpha_0_is_a_sum_of_equals() -> None:
    assert expand_query(QUERY, NEAR[:2], NEAR[:2] @ QUERY, 0) == pytest.approx([2.4, 0.6, 0.8])


def test_no_neighbours_change_no_bit_of_the_query() -> None:
    query = np.array([0.1, 0.2, 0.3])
    none = np.empty((0, 3)), np.empty(0)
    assert expand_query(query, *none, 3).tobytes() == query.tobytes()


def lists(k: int) -> NeighbourLists:
    """Of the nodes x, y, z, w on four axes: each lists the others in turn."""
    nodes = np.array([[(row + step) % 4 for step in (1, 2, 3)] for row in range(4)], np.int32)
    return NeighbourLists(k, nodes[:, : k + 1], np.zeros((4, min(3, k + 1))))


def direction(*values: float) -> Doubles:
    found: Doubles = np.array(values) / np.linalg.norm(values)
    return found


def test_a_vector_is_augmented_by_its_neighbours_by_rank() -> None:
    [first, second] = augment(np.array([0, 3]), np.eye(4), lists(2))
    assert first == pytest.approx(direction(1, 0.5, 0, 0))  # (2 - 1) / 2, then (2 - 2) / 2
    assert second == pytest.approx(direction(0.5, 0, 0, 1))
    [third] = augment(np.array([0]), np.eye(4), lists(3))
    assert third == pytest.approx(direction(1, 2 / 3, 1 / 3, 0))


def test_a_query_adds_nothing_to_what_it_searches() -> None:
    [found] = augment(np.array([0]), np.eye(4), lists(2), query=1)
    assert found == pytest.approx(direction(1, 0, 0.5, 0))


def test_no_neighbours_leave_the_vector() -> None:
    assert augment(np.array([2]), np.eye(4), lists(0)).tolist() == [[0, 0, 1, 0]]
