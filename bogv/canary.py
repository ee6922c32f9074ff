"""The recall canary: searches with an image's stored vector, and its hash, must find that image.

A damaged or wrongly built index loses neighbours without an error: searches succeed but miss
stored images. The canary detects this.
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

IMAGES = 4  # per check
HITS = 10
TIE = 1e-4  # cosine; embedding an image alone or in a batch changes its vector by less
JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class CanaryResult:
    """The result of one check."""

    searched: int
    missed: tuple[int, ...]
    """The ids of the images that were not their own first hit."""
    checked_at: float
    """Seconds since 1970."""

    @property
    def recall(self) -> float:
        """The fraction of the images that found themselves, 0 to 1."""
        return 1 - len(self.missed) / self.searched

    @property
    def summary(self) -> str:
        """One sentence."""
        when = f"{max(time.time() - self.checked_at, 0):.0f} s ago"
        if not self.missed:
            return f"{self.searched} of {self.searched} stored images found themselves, {when}."
        return (
            f"{len(self.missed)} of {self.searched} stored images did not find themselves, {when}"
            f" (ids {', '.join(map(str, self.missed))}): searches may miss stored images."
        )


class Canary:
    """Checks the recall every `seconds`, in a thread of its own; 0: never.

    observe: called after each check, with None if the check failed, as without the database.
    """

    def __init__(self, search: ImageSearch, seconds: float, seed: int | None = None) -> None:
        self.result: CanaryResult | None = None
        """Of the last check; None before the first, and for an empty gallery."""
        self.observe: Callable[[CanaryResult | None], None] | None = None
        self._search = search
        self._seconds = seconds
        self._random = random.Random(seed)  # noqa: S311
        self._stop = threading.Event()
        # A daemon, so that a database that hangs doesn't keep the process from exiting.
        self._thread = threading.Thread(target=self._run, name="bogv-canary", daemon=True)

    def start(self) -> None:
        """Start the thread; its first check is immediate."""
        if self._seconds:
            self._thread.start()

    def stop(self) -> None:
        """Stop; wait for a running search, at most JOIN_SECONDS."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.check()
            except Exception:
                # A bug must not end the thread. On shutdown, errors of the closed store are normal.
                if not self._stop.is_set():
                    log.exception("The recall canary failed")
                    self._notify(None)
            self._stop.wait(self._seconds)

    def check(self) -> None:
        """Check some images. An unavailable database is only logged: health reports it."""
        try:
            start = self._random.randrange(2**ID_BITS)
            found = {each: self._finds_itself(each) for each in self._pick_ids(start)}
        except BogvError as error:
            log.warning("The recall canary could not check: %s", error)
            self._notify(None)
            return
        searched = [each for each, itself in found.items() if itself is not None]
        missed = tuple(each for each in searched if not found[each])
        self.result = CanaryResult(len(searched), missed, time.time()) if searched else None
        if self.result is not None:
            if missed:
                log.error("The recall canary: %s", self.result.summary)
            self._notify(self.result)

    def _notify(self, result: CanaryResult | None) -> None:
        if self.observe is not None:
            self.observe(result)

    def _pick_ids(self, start: int) -> list[int]:
        """At most IMAGES ids from `start` on. Ids are hashes, so any range is a random sample."""
        ids = self._search.get_ids_from(start, IMAGES)
        if len(ids) < IMAGES:
            ids += self._search.get_ids_from(0, IMAGES - len(ids))
        return list(dict.fromkeys(ids))

    def _finds_itself(self, record_id: int) -> bool | None:
        """None: the image was deleted meanwhile, or bogv is shutting down.

        Images with equal vectors are tied for the first rank, in any order; if there are more than
        HITS of them, the image may not be among the hits at all.
        """
        if self._stop.is_set():
            return None
        try:
            hits = self._search.nearest(record_id, HITS)
        except NotFound:
            return None
        first = [hit.record.id for hit in hits if hit.score >= hits[0].score - TIE]
        found = record_id in first or len(first) == HITS
        if found and self._search.finds_its_copy(record_id):
            return True
        return False if self._search.get([record_id]) else None
