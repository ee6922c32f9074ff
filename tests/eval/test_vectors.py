from __future__ import annotations

import numpy as np

from eval.vectors import nearest_neighbours
from tests.eval.support.ann import COUNT, QUERIES, SMALL, K


def test_exact_neighbours_are_the_same_in_batches_of_any_size() -> None:
    gallery, queries = next(SMALL.gallery(COUNT, COUNT)), SMALL.queries(QUERIES)
    whole = nearest_neighbours([gallery], queries, K)
    parts = nearest_neighbours([gallery[:1], gallery[1:130], gallery[130:]], queries, K)
    assert np.array_equal(whole.rows, parts.rows)
    by_hand = np.argsort(-(queries.astype(float) @ gallery.astype(float).T), axis=1)[:, :K]
    assert np.array_equal(whole.rows, by_hand)


def test_of_equal_scores_the_earlier_row_is_nearer() -> None:
    gallery = np.array([[0, 1], [1, 0], [2, 0], [1, 0]], np.float32)
    exact = nearest_neighbours([gallery[:2], gallery[2:]], np.array([[1, 0]], np.float32), 3)
    assert exact.rows.tolist() == [[1, 2, 3]]
    assert exact.scores.tolist() == [[1, 1, 1]]
