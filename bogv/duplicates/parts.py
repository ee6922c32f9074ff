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

from bogv.copies.features import Features, describe
from bogv.copies.geometry import Agreement, verify
from bogv.copies.thresholds import THRESHOLDS
from bogv.duplicates.close_pairs import SAVE_SECONDS, Md5s, PairTable
from bogv.duplicates.hamming import THREADS
from bogv.errors import StorageUnavailable, reason
from bogv.files import atomic_write
from bogv.records import Pixels

log = logging.getLogger(__name__)

BLOCK = 32
"""Pairs that are verified between two looks at `stop`."""
CACHED = 1000
"""Pictures whose features are kept: at most 160 MB."""

_ARRAYS = ("left", "right", "inliers", "overlaps", "residuals")

Pair = tuple[bytes, bytes]
"""The MD5s of two files, in hexadecimal digits."""

Proof = tuple[int, float, float]
"""Points on which two pictures agree, the share of each that the other shows at least, and the
residual, as of `Agreement`."""
NO_PROOF: Proof = 0, 0.0, 0.0


class Parts:
    """Verifies pairs, and keeps in a file on what they agree."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def prove(
        self,
        md5s: Md5s,
        candidates: PairTable,
        load: Callable[[int], Pixels | None],
        stop: threading.Event,
        report: Callable[[int, int], None],
    ) -> tuple[PairTable, PairTable, bool]:
        """The candidates that are copies, those that are parts, and whether all were verified.

        Most points first.

        candidates: pairs of indices into md5s, ordered. load: gives the pixels of an index; None:
        there are none, so nothing is proven. It is called in threads. stop: ends it early. report:
        called with how many pairs are verified, and of how many. Raises StorageUnavailable.
        """
        ends = [candidates.left.tolist(), candidates.right.tolist()]
        names: list[Pair] = [(md5s[a], md5s[b]) for a, b in zip(*ends, strict=True)]
        there = set(md5s.tolist())
        known = {pair: proof for pair, proof in self._read().items() if there.issuperset(pair)}
        pending = [place for place, name in enumerate(names) if name not in known]

        @lru_cache(CACHED)
        def features(index: int) -> Features | None:
            pixels = load(index)
            return None if pixels is None else describe(pixels)

        def compare(place: int) -> Proof:
            left, right = features(ends[0][place]), features(ends[1][place])
            return NO_PROOF if left is None or right is None else _proof(verify(left, right))

        done, saved = 0, time.monotonic()
        try:
            with ThreadPoolExecutor(THREADS, "parts") as threads:
                while done < len(pending) and not stop.is_set():
                    report(done, len(pending))
                    block = pending[done : done + BLOCK]
                    for place, proof in zip(block, threads.map(compare, block), strict=True):
                        known[names[place]] = proof
                    done += len(block)
                    if time.monotonic() - saved > SAVE_SECONDS:
                        self._write(known)
                        saved = time.monotonic()
        finally:  # also when it is interrupted
            if done:
                self._write(known)
        report(done, len(pending))
        proofs = [known.get(name, NO_PROOF) for name in names]
        return *_proven(candidates, proofs), done == len(pending)

    def _read(self) -> dict[Pair, Proof]:
        try:
            with self._path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                columns = [file[name].tolist() for name in _ARRAYS]
            return {(a, b): (*proof,) for a, b, *proof in zip(*columns, strict=True)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("What was verified can't be read; it starts anew: %s", error)
            return {}

    def _write(self, known: dict[Pair, Proof]) -> None:
        try:
            with atomic_write(self._path) as partial, partial.open("wb") as file:
                np.savez(
                    file,
                    left=np.array([a for a, _ in known], "S32"),
                    right=np.array([b for _, b in known], "S32"),
                    inliers=np.array([inliers for inliers, _, _ in known.values()], np.int32),
                    overlaps=np.array([overlap for _, overlap, _ in known.values()], np.float64),
                    residuals=np.array([residual for *_, residual in known.values()], np.float64),
                )
        except OSError as error:
            raise StorageUnavailable(
                f"The state of the scan can't be written: {reason(error)}."
            ) from error


def _proof(agreement: Agreement) -> Proof:
    overlap = min(agreement.query_overlap, agreement.hit_overlap)
    return agreement.inliers, overlap, agreement.residual


def _proven(candidates: PairTable, proofs: list[Proof]) -> tuple[PairTable, PairTable]:
    """The copies and the parts."""
    kinds = [
        THRESHOLDS.kind_of(
            distance,
            Agreement(inliers, query_overlap=share, hit_overlap=share, residual=residual),
        )
        for distance, (inliers, share, residual) in zip(
            candidates.distances.tolist(), proofs, strict=True
        )
    ]
    order = sorted(range(len(proofs)), key=lambda place: -proofs[place][0])
    copies, parts = (
        candidates.take(
            np.array([i for i in order if kinds[i] == kind], np.intp), candidates.is_cut
        )
        for kind in ("copy", "part")
    )
    return copies, parts
