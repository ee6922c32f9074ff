from __future__ import annotations

import itertools

import numpy as np
import pytest

from eval.harness.synthetic import BLOCK, Clustered

SMALL = Clustered(seed=3, dimension=48, clusters=5, spread=0.3, rank=4, noise=0.05)


def rows(count: int, batch: int) -> np.typing.NDArray[np.float32]:
    return np.concatenate(list(SMALL.gallery(count, batch)))


def test_the_size_of_the_batches_changes_no_bit() -> None:
    count = 2 * BLOCK + 77
    whole = rows(count, count)
    for batch in (1000, BLOCK, BLOCK + 1, 10 * BLOCK):
        assert rows(count, batch).tobytes() == whole.tobytes()
    assert [len(each) for each in SMALL.gallery(count, 1000)] == [1000, 1000, count - 2000]


def test_a_larger_gallery_begins_as_a_smaller_one() -> None:
    assert rows(BLOCK + 200, 64)[:150].tobytes() == rows(150, 64).tobytes()


def test_vectors_are_of_length_one_and_not_below_zero() -> None:
    vectors = rows(500, 500)
    assert vectors.dtype == np.float32
    assert (vectors >= 0).all()
    assert (vectors == 0).any()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_another_seed_gives_other_vectors() -> None:
    other = next(Clustered(seed=4, dimension=48, clusters=5).gallery(10, 10))
    assert not np.allclose(other, rows(10, 10))


def test_queries_are_held_out_and_come_from_the_same_clusters() -> None:
    queries, gallery = SMALL.queries(40), rows(2000, 2000)
    cosines = queries @ gallery.T
    # Its own cluster (a fifth of the gallery) is nearer than any other.
    nearest = np.sort(cosines, axis=1)[:, ::-1]
    assert (nearest[:, 0] < 1 - 1e-4).all()
    assert (nearest[:, 0] > 0.9).all()
    assert (nearest[:, 1000] < 0.75).all()


def test_it_is_lazy_and_holds_little() -> None:
    first = next(Clustered(dimension=16, clusters=3).gallery(10**12, 10))
    assert first.shape == (10, 16)
    assert len(list(itertools.islice(SMALL.gallery(10**9, 8), 5))) == 5


def test_none_are_refused() -> None:
    with pytest.raises(ValueError, match="0 vectors"):
        SMALL.queries(0)
