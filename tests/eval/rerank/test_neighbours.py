from __future__ import annotations

import numpy as np

from eval.rerank.neighbours import NeighbourLists

LISTS = NeighbourLists(
    2,
    np.array([[1, 2, 3], [2, 0, 3], [0, 3, 1], [2, 1, 0]], np.int32),
    np.array([[0.9, 0.8, 0.7]] * 4),
)


def kept(query: int | None) -> list[list[int]]:
    rows = np.arange(4)
    mask = LISTS.kept(rows, query)
    return [LISTS.nodes[row][mask[row]].tolist() for row in rows]


def test_the_first_k_are_kept() -> None:
    assert kept(None) == [[1, 2], [2, 0], [0, 3], [2, 1]]


def test_a_query_is_left_out_and_the_next_moves_up() -> None:
    assert kept(2) == [[1, 3], [0, 3], [0, 3], [1, 0]]


def test_only_the_first_k_are_counted_as_kept_in_memory() -> None:
    assert LISTS.bytes_per_vector == 2 * (4 + 8)
