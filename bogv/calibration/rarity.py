"""How rare a cosine is in one gallery: the share of pairs of its images that are as alike.

Cosines mean different things with other weights: unrelated photos are at 0.3 with trained ones, and
at 0.998 with untrained ones. The share of the gallery's own pairs means the same with all.

Of a small gallery all pairs are compared. Of a larger one, images are drawn, and compared two by
two: each image is in one pair, so the pairs are independent draws from all pairs of the gallery,
and the limits of the share are those of a binomial count.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
from pydantic import ValidationError

from bogv.calibration.background import Background, Rarity, Scores, summarise
from bogv.embedding.weights import DIMENSION
from bogv.errors import BogvError, InvalidValue
from bogv.files import atomic_write
from bogv.records import ID_BITS, Hit, Vectors
from bogv.storage.milvus import MilvusStore

log = logging.getLogger(__name__)

FILE = "rarity.json"

ALL_PAIRS = 2000
"""Images up to which all pairs are compared: 2 million, 16 MB of embeddings."""
PAIRS = 5000
"""Compared in a larger gallery: 10,000 embeddings are read."""
MIN_IMAGES = 15
"""With fewer, there are not even 100 pairs."""
GROWN = 0.2
"""Share by which the number of images changes until pairs are compared anew."""
CHECK_SECONDS = 60.0
BATCH = 32
"""Embeddings read or compared at a time: a search meanwhile waits for some milliseconds."""


class RarityGauge:
    """Tells the rarity of cosines in one gallery. Thread-safe.

    folder: of the file that keeps the background; None: it is kept in memory alone. `run` keeps it
    up to date; without it, the one of an earlier start is used. query_expansion: with it, scores
    are no cosines of two images, and have no rarity.
    """

    def __init__(
        self,
        store: MilvusStore,
        fingerprint: str,
        folder: Path | None = None,
        *,
        query_expansion: int = 0,
    ) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._path = folder / FILE if folder is not None else None
        self._query_expansion = query_expansion
        self.background = self._load()

    @property
    def summary(self) -> str:
        """One sentence, for health; empty if rarities aren't known."""
        return self.background.summary if self.background and not self._query_expansion else ""

    def of(self, score: float) -> Rarity | None:
        """The rarity of a score; None if it isn't known."""
        background = self.background
        return None if background is None or self._query_expansion else background.rarity(score)

    def check(self, max_rarity: float | None) -> None:
        """Raises InvalidValue for a limit that is no share or can't be told in this gallery."""
        if max_rarity is None:
            return
        if type(max_rarity) not in {int, float} or not 0 < max_rarity <= 1:  # NaN, too
            raise InvalidValue(f"The max_rarity is {max_rarity!r}; it must be above 0, at most 1.")
        if self._query_expansion:
            raise InvalidValue("With query expansion, scores have no rarity: leave out max_rarity.")
        background = self.background
        if background is None:
            raise InvalidValue(
                "How rare scores are in this gallery isn't known: it has fewer than"
                f" {MIN_IMAGES} images, or its pairs aren't compared yet. Leave out max_rarity."
            )
        if max_rarity < background.smallest:
            raise InvalidValue(
                f"The max_rarity is {max_rarity!r}; {background.pairs:,} pairs were compared, which"
                f" tells rarities down to {background.smallest:.2g}."
            )

    def mark(self, hits: Sequence[Hit]) -> list[Hit]:
        """The hits with their rarities, where they are known."""
        background = self.background
        if background is None or self._query_expansion:
            return list(hits)
        return [replace(hit, rarity=background.share(hit.score)) for hit in hits]

    def run(self, stop: threading.Event) -> None:
        """Compare pairs whenever the gallery has changed much, until `stop` is set."""
        while not stop.is_set():
            try:
                self.refresh(stop)
            except (BogvError, OSError) as error:
                log.warning("The rarity of scores can't be measured now: %s", error)
            stop.wait(CHECK_SECONDS)

    def refresh(self, stop: threading.Event | None = None) -> None:
        """Compare pairs, if the gallery has changed by GROWN since; half of the time nothing is
        done if `stop` is given, and it ends early when that is set.

        Raises DatabaseUnavailable, and OSError if the file can't be written.
        """
        count = self._store.count()
        if self.background is not None and not _has_changed(self.background.count, count):
            return
        if count < MIN_IMAGES:
            self.background = None
            return
        start = time.monotonic()
        pause = _Pause(stop)
        complete = count <= ALL_PAIRS
        scores = self._compare_all(pause) if complete else self._compare_some(count, pause)
        if pause.stopped or not len(scores):
            return
        self.background = summarise(scores, self._fingerprint, count, complete=complete)
        self._save(self.background)
        log.info("Rarity: %s in %.0f s", self.background.summary, time.monotonic() - start)

    def _compare_all(self, pause: _Pause) -> Scores:
        ids = self._store.get_ids_between(0, 2**ID_BITS)
        read: list[Vectors] = []
        for start in range(0, len(ids), BATCH):
            read += self._store.vectors(ids[start : start + BATCH]).values()
            if pause():
                return np.empty(0, np.float32)
        return _upper_triangle(np.array(read), pause)

    def _compare_some(self, count: int, pause: _Pause) -> Scores:
        # Ids are hashes, so those below a bound are a random sample of the images.
        ids = self._store.get_ids_between(0, 2**ID_BITS * 2 * PAIRS // count)
        Random(0).shuffle(ids)  # noqa: S311
        scores = []
        for start in range(0, len(ids) - 1, BATCH):
            read = list(self._store.vectors(ids[start : start + BATCH]).values())
            vectors = np.array(read[: len(read) // 2 * 2]).reshape(-1, DIMENSION)
            scores.append(np.einsum("ij,ij->i", vectors[::2], vectors[1::2]))
            if pause():
                break
        return np.concatenate(scores) if scores else np.empty(0, np.float32)

    def _load(self) -> Background | None:
        if self._path is None or not self._path.is_file():
            return None
        try:
            found = Background.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError) as error:
            log.warning("%s can't be read, and is made anew: %s", self._path.name, error)
            return None
        return found if found.fingerprint == self._fingerprint else None

    def _save(self, background: Background) -> None:
        if self._path is not None:
            with atomic_write(self._path) as partial:
                partial.write_text(background.model_dump_json(), "utf-8")


class _Pause:
    """Called after each piece of work: waits as long as it took. True: the work is to be ended."""

    def __init__(self, stop: threading.Event | None) -> None:
        self._stop = stop
        self._since = time.monotonic()

    def __call__(self) -> bool:
        if self._stop is not None:
            self._stop.wait(time.monotonic() - self._since)
        self._since = time.monotonic()
        return self.stopped

    @property
    def stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()


def _has_changed(before: int, now: int) -> bool:
    return abs(now - before) >= GROWN * before


def _upper_triangle(vectors: Vectors, pause: _Pause) -> Scores:
    """The cosines of all pairs of (n, dimension) unit vectors."""
    rows = []
    for start in range(0, len(vectors), BATCH):
        block = vectors[start : start + BATCH] @ vectors[start:].T
        rows += [row[index + 1 :] for index, row in enumerate(block)]
        if pause():
            break
    return np.concatenate(rows) if rows else np.empty(0, np.float32)
