"""Hamming distances between all pairs of many hashes, in tiles of bounded memory.

A single hash is searched in `bogv.storage.hamming`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from bogv.storage.hamming import Words

THREADS = 2
ROWS, COLUMNS = 64, 4096
"""Of a tile: its arrays, 3 MB, stay in a core's cache."""
WORD_BITS = 64
_SIGMAS = 3.5

Indices = NDArray[np.int32]
Distances = NDArray[np.uint8]


def find_close(left: Words, right: Words, max_distance: int) -> tuple[Indices, Indices, Distances]:
    """The pairs of a left and a right hash that differ in at most `max_distance` (< 192) bits.

    Returns indices into left, indices into right, and distances, ordered by both indices.
    """
    words = _prefix_length(max_distance)
    columns = np.ascontiguousarray(right.T)
    starts = range(0, len(left), ROWS)
    with ThreadPoolExecutor(THREADS, "hamming") as threads:
        found = list(
            threads.map(
                lambda start: _search_rows(left, columns, start, words, max_distance), starts
            )
        )
    rows, others = (
        np.concatenate([np.empty(0, np.int32), *(pairs[i] for pairs in found)]) for i in (0, 1)
    )
    distances = _distances(left[rows], right[others])
    close = np.flatnonzero(distances <= max_distance)
    close = close[np.lexsort((others[close], rows[close]))]
    return rows[close], others[close], distances[close].astype(np.uint8)


def _prefix_length(max_distance: int) -> int:
    """How many words of two hashes tell nearly all unrelated pairs from close ones.

    The distance of the first words never exceeds that of all. Of unrelated hashes it is binomial:
    half of the bits on average, with a standard deviation of half their square root.
    """
    for words in (1, 2):
        bits = words * WORD_BITS
        if bits / 2 - _SIGMAS * math.sqrt(bits) / 2 >= max_distance:
            return words
    return 3  # 192 bits: the distance fits into a byte


def _search_rows(
    left: Words, columns: Words, start: int, words: int, max_distance: int
) -> tuple[Indices, Indices]:
    """The pairs with one of ROWS left hashes that are close in their first words."""
    rows = np.ascontiguousarray(left[start : start + ROWS].T)
    tiles = list(_search_tiles(rows, columns, words, max_distance))
    near_rows = list(chain([np.empty(0, np.intp)], (tile[0] + start for tile in tiles)))
    near_columns = list(chain([np.empty(0, np.intp)], (tile[1] for tile in tiles)))
    return (
        np.concatenate(near_rows).astype(np.int32),
        np.concatenate(near_columns).astype(np.int32),
    )


def _search_tiles(
    rows: Words, columns: Words, words: int, max_distance: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    for start in range(0, columns.shape[1], COLUMNS):
        tile = columns[:, start : start + COLUMNS]
        shape = rows.shape[1], tile.shape[1]
        different = np.empty(shape, np.uint64)
        total, count = np.zeros(shape, np.uint8), np.empty(shape, np.uint8)
        for word in range(words):
            np.bitwise_xor(rows[word, :, np.newaxis], tile[word], out=different)
            np.bitwise_count(different, out=count)
            total += count
        near = np.flatnonzero(total <= max_distance)
        if len(near):
            row, column = np.divmod(near, shape[1])
            yield row, column + start


def _distances(left: Words, right: Words) -> NDArray[np.int64]:
    """Of each left hash from the right hash at the same index: (n,)."""
    counts: NDArray[np.int64] = np.bitwise_count(left ^ right).sum(axis=1, dtype=np.int64)
    return counts
