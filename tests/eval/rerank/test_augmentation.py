from __future__ import annotations

import numpy as np
import pytest

from eval.rerank.augmentation import augment
from eval.rerank.neighbours import NeighbourLists
from eval.vectors import Doubles


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
