"""Whether the database answers and its files are there: told at once, however busy the rest is."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict

from bogv.canary import Canary
from bogv.embedding.weights import UNTRAINED_WARNING
from bogv.errors import BogvError, DatabaseUnavailable
from bogv.records import Stats
from bogv.service import ImageSearch

PATIENCE = 1.0  # s that an answer waits for the database
SILENCE = 15.0  # s without an answer to a question, after which what was said last counts no more


class Health:
    """Asks the database one question at a time, in a thread of its own; who comes meanwhile shares
    the answer, so that a flood of questions is no load. To be used from the event loop alone.
    """

    def __init__(self, search: ImageSearch, canary: Canary | None) -> None:
        self._search = search
        self._canary = canary
        self._asked: Future[Stats | BogvError] | None = None
        self._asked_at = 0.0
        self._last: Stats | BogvError | None = None

    async def stats(self) -> Stats:
        """The state of the gallery, within PATIENCE; while the database thinks, as it was before.

        Raises what asking raised (DatabaseUnavailable, StorageUnavailable), and
        DatabaseUnavailable if a question has had no answer for SILENCE seconds, or there has been
        none before.
        """
        asked = self._ask()
        await asyncio.wait([asyncio.wrap_future(asked)], timeout=PATIENCE)
        told = asked.result() if asked.done() else self._remembered()
        if isinstance(told, BogvError):
            raise type(told)(str(told)) from told
        return told

    async def told(self, everything: bool) -> dict[str, str | int]:
        """What the health route answers: the status alone, or what is served too.

        `degraded`: bogv serves, but the recall canary misses some images. Raises as `stats` does.
        """
        stats = await self.stats()
        verdict = self._canary.verdict if self._canary else None
        shown: dict[str, str | int] = {"status": "degraded" if verdict and verdict.missed else "ok"}
        if everything:
            shown |= asdict(stats)
            if verdict:
                shown["canary"] = verdict.words
            if not self._search.embedder.weights.trained:
                shown["warning"] = UNTRAINED_WARNING
        return shown

    def _ask(self) -> Future[Stats | BogvError]:
        if self._asked is None or self._asked.done():
            self._asked, self._asked_at = Future(), time.monotonic()
            # A daemon: a database that hangs must not keep the process from its end.
            thread = threading.Thread(
                target=self._look, args=[self._asked], name="bogv-health", daemon=True
            )
            thread.start()
        return self._asked

    def _look(self, asked: Future[Stats | BogvError]) -> None:
        told: Stats | BogvError
        try:
            self._search.check_folders()
            told = self._search.stats()
        except BogvError as error:
            told = error
        except BaseException as error:
            asked.set_exception(error)
            raise
        self._last = told
        asked.set_result(told)

    def _remembered(self) -> Stats | BogvError:
        silent = time.monotonic() - self._asked_at
        if self._last is None or silent > SILENCE:
            return DatabaseUnavailable(f"The database has not answered for {silent:.0f} s.")
        return self._last
