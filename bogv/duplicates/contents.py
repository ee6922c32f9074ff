"""Reads what tells duplicates from a gallery: the MD5 and the hash of each image."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bogv.duplicates.close_pairs import Md5s
from bogv.records import ID_BITS, MIN_QUALITY
from bogv.storage.hamming import Words, as_words
from bogv.storage.milvus import MilvusStore

ROWS_PER_READ = 1000
"""Of a page: a hash takes 8 kB while it is read, as a list of floats."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The different files of a gallery's images; one may have been added under several keys."""

    md5s: Md5s
    """(n,), sorted."""
    ids: list[list[int]]
    """For each, those of the images: at least one, ascending."""
    words: Words
    """(n, 4): hashes, of the first of the images that has one."""
    is_telling: NDArray[np.bool_]
    """(n,): the hash is there, and of a picture that isn't too plain (MIN_QUALITY)."""

    @property
    def images(self) -> int:
        """How many there are."""
        return sum(map(len, self.ids))

    def without_hash(self) -> int:
        """How many images can't be compared by their hashes."""
        return sum(len(self.ids[i]) for i in np.flatnonzero(~self.is_telling))


def read_contents(
    store: MilvusStore, stop: threading.Event, report: Callable[[int, int], None]
) -> Contents | None:
    """Read a gallery in pages; None if `stop` was set.

    report: called with how many pages have been read, and of how many. Raises DatabaseUnavailable.
    """
    ids_of: dict[str, list[int]] = {}
    hashes: dict[int, bytes] = {}
    # Ids are hashes: equal ranges have about equally many.
    pages = store.count() // ROWS_PER_READ + 1
    bounds = [2**ID_BITS * i // pages for i in range(pages + 1)]
    for page, (start, end) in enumerate(pairwise(bounds)):
        report(page, pages)
        if stop.is_set():
            return None
        for image_id, md5 in sorted(store.md5s_between(start, end).items()):
            ids_of.setdefault(md5, []).append(image_id)
        found, values, qualities = store.copies.hashes_between(start, end)
        for image_id, value, quality in zip(found, values, qualities, strict=True):
            if quality >= MIN_QUALITY:
                hashes[image_id] = value.tobytes()
    report(pages, pages)
    return _arrange(ids_of, hashes)


def _arrange(ids_of: dict[str, list[int]], hashes: dict[int, bytes]) -> Contents:
    md5s = sorted(ids_of)
    ids = [ids_of[md5] for md5 in md5s]
    first = [next((hashes[i] for i in each if i in hashes), None) for each in ids]
    packed = np.frombuffer(b"".join(each or bytes(32) for each in first), np.uint8)
    return Contents(
        md5s=np.array(md5s, "S32"),
        ids=ids,
        words=as_words(packed.reshape(-1, 32)),
        is_telling=np.array([each is not None for each in first], np.bool_),
    )
