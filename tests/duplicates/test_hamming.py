"""Distances between all pairs: as counted one by one, whatever the tiles."""

from __future__ import annotations

import numpy as np
import pytest

from bogv.duplicates import hamming
from bogv.duplicates.hamming import find_close
from bogv.records import Pixels
from bogv.storage.hamming import as_words

RANDOM = np.random.default_rng(3)


def related(count: int) -> Pixels:
    """(count, 32): each hash is up to 99 bits from an earlier one."""
    bits = RANDOM.integers(0, 2, (count, 256), np.uint8)
    for i in range(1, count):
        bits[i] = bits[RANDOM.integers(i)]
        bits[i, RANDOM.choice(256, RANDOM.integers(100), replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def close_one_by_one(left: Pixels, right: Pixels, limit: int) -> list[tuple[int, int, int]]:
    all_distances = np.unpackbits(left[:, np.newaxis] ^ right, axis=2).sum(axis=2)
    return [
        (int(i), int(j), int(all_distances[i, j])) for i, j in np.argwhere(all_distances <= limit)
    ]


@pytest.mark.parametrize("limit", [0, 10, 31, 70])
def test_pairs_and_distances_are_as_counted_one_by_one(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hamming, "ROWS", 7)
    monkeypatch.setattr(hamming, "COLUMNS", 11)
    hashes = related(60)
    left, right = hashes[:25], hashes[10:]
    rows, columns, distances = find_close(as_words(left), as_words(right), limit)
    found = list(zip(rows.tolist(), columns.tolist(), distances.tolist(), strict=True))
    assert found == close_one_by_one(left, right, limit)
    assert found


def test_hashes_that_differ_in_every_bit_are_not_close() -> None:
    opposite = np.array([[0] * 32, [255] * 32], np.uint8)
    rows, columns, distances = find_close(as_words(opposite[:1]), as_words(opposite[1:]), 70)
    assert len(rows) == len(columns) == len(distances) == 0


def test_without_hashes_there_are_no_pairs() -> None:
    nothing = as_words(np.empty((0, 32), np.uint8))
    assert [len(each) for each in find_close(nothing, nothing, 31)] == [0, 0, 0]
