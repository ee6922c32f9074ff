"""The recall canary: stored images, searched for by their stored vectors, must find themselves.

An index that is damaged, or was built wrong, loses neighbours in silence: searches answer, and
what is there is not found. This is how one hears of it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from bogv.errors import BogvError, NotFound
from bogv.records import ID_BITS
from bogv.service import ImageSearch

log = logging.getLogger(__name__)

IMAGES = 4  # searched for at a time
HITS = 10
TIE = 1e-4  # cosine; one image embedded alone and in a batch differs by less
JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Verdict:
    """What one look gave."""

    searched: int
    missed: tuple[int, ...]
    """Ids of those that did not find themselves first."""
    at: float
    """Seconds since 1970."""

    @property
    def recall(self) -> float:
        """The share of the images that found themselves, 0 to 1."""
        return 1 - len(self.missed) / self.searched

    @property
    def words(self) -> str:
        """One sentence."""
        when = f"{max(time.time() - self.at, 0):.0f} s ago"
        if not self.missed:
            return f"{self.searched} of {self.searched} stored images found themselves, {when}."
        return (
            f"{len(self.missed)} of {self.searched} stored images did not find themselves, {when}"
            f" (ids {', '.join(map(str, self.missed))}): searches may miss what is there."
        )


class Canary:
    """Looks every `seconds`, in a thread of its own; 0: never.

    observe: called after each look, with None if the database could not be asked.
    """

    def __init__(self, search: ImageSearch, seconds: float, seed: int | None = None) -> None:
        self.verdict: Verdict | None = None
        """The last one; None while there is none, as of an empty gallery."""
        self.observe: Callable[[Verdict | None], None] | None = None
        self._search = search
        self._seconds = seconds
        self._random = random.Random(seed)  # noqa: S311
        self._stop = threading.Event()
        # A daemon: a database that hangs must not keep the process from its end.
        self._thread = threading.Thread(target=self._watch, name="bogv-canary", daemon=True)

    def start(self) -> None:
        """Look at once, and then again and again."""
        if self._seconds:
            self._thread.start()

    def stop(self) -> None:
        """Returns when a search that is under way has ended, or after JOIN_SECONDS."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.look()
            except Exception:
                # A fault must not end the watch; but at the end, the store is closed under it.
                if not self._stop.is_set():
                    log.exception("The recall canary failed")
                    self._told(None)
            self._stop.wait(self._seconds)

    def look(self) -> None:
        """Search for some images. A database that is gone is logged, and is health's to tell."""
        try:
            start = self._random.randrange(2**ID_BITS)
            found = {each: self._finds_itself(each) for each in self._some(start)}
        except BogvError as error:
            log.warning("The recall canary could not look: %s", error)
            self._told(None)
            return
        searched = [each for each, itself in found.items() if itself is not None]
        missed = tuple(each for each in searched if not found[each])
        self.verdict = Verdict(len(searched), missed, time.time()) if searched else None
        if self.verdict is not None:
            if missed:
                log.error("The recall canary: %s", self.verdict.words)
            self._told(self.verdict)

    def _told(self, verdict: Verdict | None) -> None:
        if self.observe is not None:
            self.observe(verdict)

    def _some(self, start: int) -> list[int]:
        """Ids are hashes, so that any place is as good as any other to take them from."""
        ids = self._search.ids_from(start, IMAGES)
        if len(ids) < IMAGES:
            ids += self._search.ids_from(0, IMAGES - len(ids))
        return list(dict.fromkeys(ids))

    def _finds_itself(self, record_id: int) -> bool | None:
        """None: it was deleted meanwhile, or bogv is about to end.

        Of images with equal vectors any may come first, and of more than HITS not all come.
        """
        if self._stop.is_set():
            return None
        try:
            hits = self._search.nearest(record_id, HITS)
        except NotFound:
            return None
        first = [hit.record.id for hit in hits if hit.score >= hits[0].score - TIE]
        if record_id in first or len(first) == HITS:
            return True
        return False if self._search.get([record_id]) else None
