"""The health route: whether the database answers and its files exist.

Answered within seconds, however busy the rest is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from bogv.canary import Canary
from bogv.embedding.weights import UNTRAINED_WARNING
from bogv.errors import BogvError, DatabaseUnavailable
from bogv.records import Stats
from bogv.service import ImageSearch
from bogv.web.access import AccessControl
from bogv.web.envelope import MESSAGES, success
from bogv.web.schemas import Failure, HealthOut

ANSWER_SECONDS = 1.0  # that a health check waits for the database
STALE_SECONDS = 15.0  # of a query without a result, after which the last result is not used


class Health:
    """Queries the database, one query at a time, in a thread of its own. Concurrent checks share
    the result, so that a flood of them is no load. For use in the event loop's thread alone.
    """

    def __init__(self, search: ImageSearch, canary: Canary | None) -> None:
        self._search = search
        self._canary = canary
        self._query: Future[Stats | BogvError] | None = None
        self._queried_at = 0.0
        self._last: Stats | BogvError | None = None

    async def stats(self) -> Stats:
        """The state of the gallery; the last known one if the query takes over ANSWER_SECONDS.

        Raises the query's error (DatabaseUnavailable, StorageUnavailable), and DatabaseUnavailable
        if a query has had no result for STALE_SECONDS, or there is no last one.
        """
        query = self._start_query()
        await asyncio.wait([asyncio.wrap_future(query)], timeout=ANSWER_SECONDS)
        result = query.result() if query.done() else self._last_result()
        if isinstance(result, BogvError):
            raise type(result)(str(result)) from result
        return result

    async def report(self, with_details: bool) -> dict[str, str | int]:
        """The data of the health route: the status, and with_details what is served.

        `degraded`: bogv serves, but the recall canary misses some images. Raises as `stats` does.
        """
        stats = await self.stats()
        result = self._canary.result if self._canary else None
        report: dict[str, str | int] = {"status": "degraded" if result and result.missed else "ok"}
        if with_details:
            report |= asdict(stats) | {"copies": stats.copies.summary}
            if result:
                report["canary"] = result.summary
            if not self._search.embedder.weights.is_trained:
                report["warning"] = UNTRAINED_WARNING
        return report

    def _start_query(self) -> Future[Stats | BogvError]:
        if self._query is None or self._query.done():
            self._query, self._queried_at = Future(), time.monotonic()
            # A daemon: a database that hangs must not prevent the process from exiting.
            thread = threading.Thread(
                target=self._run_query, args=[self._query], name="bogv-health", daemon=True
            )
            thread.start()
        return self._query

    def _run_query(self, query: Future[Stats | BogvError]) -> None:
        result: Stats | BogvError
        try:
            self._search.check_folders()
            result = self._search.stats()
        except BogvError as error:
            result = error
        except BaseException as error:
            query.set_exception(error)
            raise
        self._last = result
        query.set_result(result)

    def _last_result(self) -> Stats | BogvError:
        seconds = time.monotonic() - self._queried_at
        if self._last is None or seconds > STALE_SECONDS:
            return DatabaseUnavailable(f"The database has not answered for {seconds:.0f} s.")
        return self._last


def add_health_route(api: FastAPI, health: Health, access: AccessControl) -> None:
    """`GET /health`, with details for callers that have the token."""
    example = {"msg": MESSAGES["health"][0], "code": 200, "data": {"status": "ok", "count": 372}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": HealthOut, "content": {"application/json": {"example": example}}},
        405: {"model": Failure},
        429: {"model": Failure},
        503: {"model": Failure},
    }
    # In OpenAPI: the token is optional.
    extra: dict[str, Any] = {"security": [{}]}

    @api.get("/health", responses=responses, tags=["health"], openapi_extra=extra)
    async def get_health(request: Request) -> JSONResponse:
        """Whether the database answers; with the token, also what is served.

        `degraded` is no failure: bogv serves, but the recall canary misses some images.
        """
        report = await health.report(with_details=access.has_token(request.scope))
        return success("health", report)
