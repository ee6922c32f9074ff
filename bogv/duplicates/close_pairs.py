"""The pairs of close hashes in a gallery, kept in a file, so that a scan goes on where it ended."""

from __future__ import annotations

import logging
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bogv.duplicates.hamming import Distances, Indices, find_close
from bogv.errors import StorageUnavailable, reason
from bogv.files import atomic_write
from bogv.storage.hamming import Words

log = logging.getLogger(__name__)

BLOCK = 1024
"""Hashes that are compared with all others between two looks at `stop`."""
SAVE_SECONDS = 10.0
MAX_PAIRS = 2_000_000
"""The closest are kept: so many take 80 MB. A gallery has more only if thousands of its images look
the same."""

_ARRAYS = ("md5s", "words", "left", "right", "distances", "is_cut")

Md5s = NDArray[np.bytes_]
"""(n,): hexadecimal digits."""


@dataclass(eq=False)
class PairTable:
    """Pairs of indices into a table of hashes, and their distances: (m,) each."""

    left: Indices = field(default_factory=lambda: np.empty(0, np.int32))
    right: Indices = field(default_factory=lambda: np.empty(0, np.int32))
    distances: Distances = field(default_factory=lambda: np.empty(0, np.uint8))
    is_cut: bool = False
    """There were more than MAX_PAIRS; the closest are here."""

    def append(self, left: Indices, right: Indices, distances: Distances) -> None:
        """Add pairs; the smaller index becomes the left one."""
        self.left = np.concatenate([self.left, np.minimum(left, right)])
        self.right = np.concatenate([self.right, np.maximum(left, right)])
        self.distances = np.concatenate([self.distances, distances])
        self._cut()

    def split(self, max_distance: int) -> tuple[PairTable, PairTable]:
        """The pairs within a distance, and the others."""
        near = self.distances <= max_distance
        within, beyond = (self.take(np.flatnonzero(each), self.is_cut) for each in (near, ~near))
        return within, beyond

    def first(self, count: int) -> PairTable:
        """The first so many, which the others are cut from."""
        is_cut = self.is_cut or len(self.left) > count
        return self.take(np.arange(min(count, len(self.left))), is_cut)

    def take(self, places: NDArray[np.intp], is_cut: bool) -> PairTable:
        """The pairs at some places, in their order."""
        return PairTable(self.left[places], self.right[places], self.distances[places], is_cut)

    def sort(self) -> None:
        """Order by distance, then by index."""
        self._take(np.lexsort((self.right, self.left, self.distances)))

    def _cut(self) -> None:
        if len(self.left) > MAX_PAIRS:
            self.sort()
            self._take(np.arange(MAX_PAIRS))
            self.is_cut = True

    def _take(self, places: NDArray[np.intp]) -> None:
        self.left, self.right = self.left[places], self.right[places]
        self.distances = self.distances[places]


class ClosePairs:
    """Finds the pairs of hashes within `max_distance` bits, and keeps them in a file.

    The file tells which files' hashes have been compared with one another, and their pairs. So
    whether a scan was cancelled, or images have been added and deleted since, the next one compares
    only what is new.
    """

    def __init__(self, path: Path, max_distance: int) -> None:
        self._path = path
        self._max_distance = max_distance

    def find(
        self,
        md5s: Md5s,
        words: Words,
        stop: threading.Event,
        report: Callable[[int, int], None],
    ) -> tuple[PairTable, bool]:
        """The pairs, ordered by distance, and whether all have been compared.

        md5s: of the files, sorted, each once; words: their hashes. stop: ends it early. report:
        called with how many comparisons are done, and of how many. Raises StorageUnavailable.
        """
        pairs, compared = self._read(md5s, words)
        order = np.concatenate([np.flatnonzero(compared), np.flatnonzero(~compared)])
        order = order.astype(np.int32)
        done = first = int(compared.sum())
        saved = time.monotonic()
        try:
            while done < len(order) and not stop.is_set():
                report(*_comparisons(first, done, len(order)))
                end = min(done + BLOCK, len(order))
                self._compare(words, order, (done, end), pairs)
                done = end
                if time.monotonic() - saved > SAVE_SECONDS:
                    self._write(md5s, words, order[:done], pairs)
                    saved = time.monotonic()
        finally:  # also when it is interrupted
            if done > first:
                self._write(md5s, words, order[:done], pairs)
        report(*_comparisons(first, done, len(order)))
        pairs.sort()
        return pairs, done == len(order)

    def _compare(
        self, words: Words, order: Indices, block: tuple[int, int], pairs: PairTable
    ) -> None:
        """Add the pairs of a block with everything before it, and within it."""
        start, end = block
        left, right, distances = find_close(
            words[order[start:end]], words[order[:end]], self._max_distance
        )
        once = right < left + start
        pairs.append(order[left[once] + start], order[right[once]], distances[once])

    def _read(self, md5s: Md5s, words: Words) -> tuple[PairTable, NDArray[np.bool_]]:
        """The stored pairs among these hashes, and which of the hashes were compared: (n,)."""
        compared = np.zeros(len(md5s), np.bool_)
        stored = self._load()
        if stored is None or not len(md5s):
            return PairTable(), compared
        places = np.searchsorted(md5s, stored["md5s"]).clip(0, len(md5s) - 1)
        there = (md5s[places] == stored["md5s"]) & (words[places] == stored["words"]).all(axis=1)
        left, right = stored["left"], stored["right"]
        if stored["is_cut"] and not there.all():  # pairs that were dropped may be needed now
            return PairTable(), compared
        both = there[left] & there[right]
        compared[places[there]] = True
        new_place = places.astype(np.int32)
        pairs = PairTable(is_cut=bool(stored["is_cut"]))
        pairs.append(new_place[left[both]], new_place[right[both]], stored["distances"][both])
        return pairs, compared

    def _load(self) -> dict[str, NDArray[np.generic]] | None:
        """The arrays of the file; None if there is none, or it is damaged."""
        try:
            with self._path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                stored = {name: file[name] for name in _ARRAYS}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("The state of the last scan can't be read; it starts anew: %s", error)
            return None
        return stored

    def _write(self, md5s: Md5s, words: Words, order: Indices, pairs: PairTable) -> None:
        """order: indices of the hashes that have been compared."""
        place = np.full(len(md5s), -1, np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        try:
            with atomic_write(self._path) as partial, partial.open("wb") as file:
                np.savez(
                    file,
                    md5s=md5s[order],
                    words=words[order],
                    left=place[pairs.left],
                    right=place[pairs.right],
                    distances=pairs.distances,
                    is_cut=np.array(pairs.is_cut),
                )
        except OSError as error:
            raise StorageUnavailable(
                f"The state of the scan can't be written: {reason(error)}."
            ) from error


def _comparisons(first: int, done: int, total: int) -> tuple[int, int]:
    """How many pairs have been compared by this run, and of how many."""

    def pairs(count: int) -> int:
        return count * (count - 1) // 2

    return pairs(done) - pairs(first), pairs(total) - pairs(first)
