"""The index of hashes in memory, against distances computed bit by bit."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bogv.records import Pixels
from bogv.storage.hamming import HashIndex

RANDOM = np.random.default_rng(0)


def hashes(count: int) -> Pixels:
    return RANDOM.integers(0, 256, (count, 32), dtype=np.uint8)


def filled(stored: Pixels) -> HashIndex:
    index = HashIndex()
    for start in range(0, len(stored), 700):
        part = stored[start : start + 700]
        index.put(range(start + 1, start + 1 + len(part)), part, [90] * len(part))
    return index


def test_distances_are_those_of_the_bits() -> None:
    stored, queries = hashes(3000), hashes(8)
    found = filled(stored).search(queries, 110, 5000)
    for query, near in zip(queries, found, strict=True):
        distances = np.unpackbits(stored ^ query, axis=1).sum(axis=1)
        expected = [(int(distances[i]), int(i) + 1) for i in np.flatnonzero(distances <= 110)]
        assert expected
        assert [(distance, each) for each, distance, _ in near] == sorted(expected)


def test_a_hash_and_its_opposite_are_256_bits_apart() -> None:
    [one] = hashes(1)
    index = filled(np.stack([one, ~one]))
    assert index.search(one[np.newaxis], 70, 10) == [[(1, 0, 90)]]
    assert index.search(one[np.newaxis], 256, 10) == [[(1, 0, 90), (2, 256, 90)]]


def test_the_nearest_are_kept_and_ties_are_by_id() -> None:
    [one] = hashes(1)
    index = HashIndex()
    index.put([9, 3, 7, 5], np.stack([one] * 4), [1, 2, 3, 4])
    assert index.search(one[np.newaxis], 70, 3) == [[(3, 0, 2), (5, 0, 4), (7, 0, 3)]]


def test_a_row_is_replaced_and_deleted() -> None:
    first, second = hashes(2)
    index = HashIndex()
    index.put([1, 2], np.stack([first, first]), [10, 20])
    index.put([2, 2], np.stack([first, second]), [30, 40])
    assert len(index) == 2
    assert index.search(np.stack([first, second]), 0, 9) == [[(1, 0, 10)], [(2, 0, 40)]]
    index.delete([1, 7])
    assert len(index) == 1
    assert index.search(first[np.newaxis], 0, 9) == [[]]
    index.clear()
    assert len(index) == 0


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows_and_no_queries(count: int) -> None:
    index = filled(hashes(count))
    assert index.search(hashes(0), 256, 9) == []
    assert len(index.search(hashes(1), 256, 9)[0]) == count


def test_searches_during_writes_see_whole_rows() -> None:
    stored = hashes(4000)
    index = filled(stored[:100])
    stop, wrong = threading.Event(), []

    def look() -> None:
        while not stop.is_set():
            found = index.search(stored[:8], 0, 9)
            if found != [[(i, 0, 90)] for i in range(1, 9)]:
                wrong.append(found)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(100, 4000, 50):
        ids = range(start + 1, start + 51)
        index.put(ids, stored[start : start + 50], [90] * 50)
        index.delete(ids[::7])
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(index) == 100 + sum(50 - 8 for _ in range(100, 4000, 50))
