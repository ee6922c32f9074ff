"""Whether close contents show the same thing, by geometry; what was verified is kept in a file."""

from __future__ import annotations

import logging
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from bogv.copies.close_pairs import SAVE_SECONDS, Md5s, PairTable
from bogv.copies.geometry import Features, describe, verify
from bogv.copies.hamming import THREADS
from bogv.copies.thresholds import THRESHOLDS
from bogv.errors import StorageUnavailable, reason
from bogv.files import atomic_write
from bogv.records import Pixels

log = logging.getLogger(__name__)

MAX_VERIFIED = 20_000
"""Pairs, the closest first: some 20 minutes on two cores."""
BLOCK = 32
"""Pairs that are verified between two looks at `stop`."""
CACHED = 1000
"""Pictures whose features are kept: at most 160 MB."""

Pair = tuple[bytes, bytes]
"""The MD5s of two files, in hexadecimal digits."""


class Parts:
    """Verifies pairs, and keeps the number of points on which they agree in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prove(
        self,
        md5s: Md5s,
        candidates: PairTable,
        load: Callable[[int], Pixels | None],
        stop: threading.Event,
        report: Callable[[int, int], None],
    ) -> tuple[PairTable, bool]:
        """The candidates that are proven, most points first, and whether all were verified.

        candidates: pairs of indices into md5s, ordered. load: gives the pixels of an index; None:
        there are none, so nothing is proven. It is called in threads. stop: ends it early. report:
        called with how many pairs are verified, and of how many. Raises StorageUnavailable.
        """
        chosen = slice(MAX_VERIFIED)
        ends = [candidates.left[chosen].tolist(), candidates.right[chosen].tolist()]
        names: list[Pair] = [(md5s[a], md5s[b]) for a, b in zip(*ends, strict=True)]
        known = self._read()
        known = {name: known[name] for name in names if name in known}
        pending = [place for place, name in enumerate(names) if name not in known]

        @lru_cache(CACHED)
        def features(index: int) -> Features | None:
            pixels = load(index)
            return None if pixels is None else describe(pixels)

        def count(place: int) -> int:
            left, right = features(ends[0][place]), features(ends[1][place])
            return 0 if left is None or right is None else verify(left, right).inliers

        done, saved = 0, time.monotonic()
        try:
            with ThreadPoolExecutor(THREADS, "parts") as threads:
                while done < len(pending) and not stop.is_set():
                    report(done, len(pending))
                    block = pending[done : done + BLOCK]
                    for place, inliers in zip(block, threads.map(count, block), strict=True):
                        known[names[place]] = inliers
                    done += len(block)
                    if time.monotonic() - saved > SAVE_SECONDS:
                        self._write(known)
                        saved = time.monotonic()
        finally:  # also when it is interrupted
            if done:
                self._write(known)
        report(done, len(pending))
        return _proven(candidates, [known.get(name, 0) for name in names]), done == len(pending)

    def _read(self) -> dict[Pair, int]:
        try:
            with self._path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                columns = [file[name].tolist() for name in ("left", "right", "inliers")]
            return {(a, b): n for a, b, n in zip(*columns, strict=True)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("What was verified can't be read; it starts anew: %s", error)
            return {}

    def _write(self, known: dict[Pair, int]) -> None:
        try:
            with atomic_write(self._path) as partial, partial.open("wb") as file:
                np.savez(
                    file,
                    left=np.array([a for a, _ in known], "S32"),
                    right=np.array([b for _, b in known], "S32"),
                    inliers=np.array(list(known.values()), np.int32),
                )
        except OSError as error:
            raise StorageUnavailable(
                f"The state of the scan can't be written: {reason(error)}."
            ) from error


def _proven(candidates: PairTable, inliers: list[int]) -> PairTable:
    counts = np.array(inliers, np.int32)
    order = np.argsort(-counts, kind="stable")
    places = order[counts[order] >= THRESHOLDS.part_inliers]
    return PairTable(
        candidates.left[places],
        candidates.right[places],
        candidates.distances[places],
        candidates.is_cut or len(candidates.left) > MAX_VERIFIED,
    )
