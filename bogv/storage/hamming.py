"""An exact index of hashes of 256 bits by Hamming distance, in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bogv.records import Pixels

_WORDS = 4  # of 64 bits
_MIN_CAPACITY = 1024

Near = list[tuple[int, int, int]]
"""Ids, distances in bits, and qualities; the nearest first, ties by id."""


class _Rows(NamedTuple):
    """Arrays whose first `size` entries are in use, and never change: others are appended."""

    words: NDArray[np.uint64]
    """(4, capacity): each word of all hashes side by side, for speed."""
    ids: NDArray[np.int64]
    qualities: NDArray[np.int32]
    size: int

    @classmethod
    def empty(cls, capacity: int) -> _Rows:
        return cls(
            np.empty((_WORDS, capacity), np.uint64),
            np.empty(capacity, np.int64),
            np.empty(capacity, np.int32),
            0,
        )

    def extended(self, words: NDArray[np.uint64], ids: Sequence[int], more: Sequence[int]) -> _Rows:
        """With rows appended, in the same arrays if they have room. more: their qualities."""
        size = self.size + len(ids)
        rows = self if size <= len(self.ids) else self._copied(size + size // 4)
        rows.words[:, self.size : size] = words
        rows.ids[self.size : size] = ids
        rows.qualities[self.size : size] = more
        return rows._replace(size=size)

    def without(self, ids: Sequence[int]) -> _Rows:
        used = slice(self.size)
        kept = np.flatnonzero(~np.isin(self.ids[used], np.asarray(ids, np.int64)))
        if len(kept) == self.size:
            return self
        rows = _Rows.empty(max(len(kept), _MIN_CAPACITY))
        rows.words[:, : len(kept)] = self.words[:, kept]
        rows.ids[: len(kept)] = self.ids[kept]
        rows.qualities[: len(kept)] = self.qualities[kept]
        return rows._replace(size=len(kept))

    def _copied(self, capacity: int) -> _Rows:
        rows = _Rows.empty(capacity)
        used = slice(self.size)
        rows.words[:, used] = self.words[:, used]
        rows.ids[used] = self.ids[used]
        rows.qualities[used] = self.qualities[used]
        return rows


class HashIndex:
    """Hashes by id; 44 bytes each, and room for a quarter more. Thread-safe."""

    def __init__(self) -> None:
        self._rows = _Rows.empty(_MIN_CAPACITY)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._rows.size

    def put(self, ids: Sequence[int], hashes: Pixels, qualities: Sequence[int]) -> None:
        """Add rows, or replace them. hashes: (n, 32) uint8; of equal ids, the last one counts."""
        last = {each: row for row, each in enumerate(ids)}
        kept = list(last.values())
        with self._lock:
            rows = self._rows.without(list(last))
            self._rows = rows.extended(
                _to_words(hashes[kept]), list(last), [qualities[i] for i in kept]
            )

    def delete(self, ids: Sequence[int]) -> None:
        """Remove rows; unknown ids are ignored."""
        with self._lock:
            self._rows = self._rows.without(ids)

    def clear(self) -> None:
        """Remove all rows."""
        with self._lock:
            self._rows = _Rows.empty(_MIN_CAPACITY)

    def search(self, hashes: Pixels, max_distance: int, limit: int) -> list[Near]:
        """For each hash, the rows within max_distance bits, at most `limit`. hashes: (n, 32)."""
        rows = self._rows
        return [_search(rows, words, max_distance, limit) for words in _to_words(hashes).T]


def _to_words(hashes: Pixels) -> NDArray[np.uint64]:
    """(n, 32) uint8 -> (4, n)."""
    return np.ascontiguousarray(hashes).view(np.uint64).reshape(-1, _WORDS).T


def _search(rows: _Rows, words: NDArray[np.uint64], max_distance: int, limit: int) -> Near:
    """words: (4,), of one hash."""
    used = slice(rows.size)
    bits = [
        np.bitwise_count(stored[used] ^ word)
        for stored, word in zip(rows.words, words, strict=True)
    ]
    # Two counts of at most 64 fit into 8 bits; four, of opposite hashes, don't.
    distances = np.add(bits[0] + bits[1], bits[2] + bits[3], dtype=np.uint16)
    near = np.flatnonzero(distances <= max_distance)
    near = near[np.lexsort((rows.ids[near], distances[near]))][:limit]
    return [(int(rows.ids[row]), int(distances[row]), int(rows.qualities[row])) for row in near]
