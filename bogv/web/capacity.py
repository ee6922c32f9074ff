"""Load shedding: the number of API requests that may be in flight, and the threads they run in.

A request counts as in flight from before its body is read until it is answered; above the limit,
requests are refused (503, `Retry-After`). The work runs in a thread pool of the API's own, so that
a flood of requests takes no threads from the demo, which uses starlette's, nor from health, which
uses neither.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from bogv.errors import Overloaded
from bogv.web.bodies import limit_idle_time
from bogv.web.envelope import Answers, path_of

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 40  # enough to fill the embedder's batches; starlette's default

_LIMITED = "/image/sim/"


class Capacity:
    """Counts requests in flight and runs their work. For use in the event loop's thread alone."""

    def __init__(self, limit: int, threads: int = THREADS) -> None:
        self.limit = limit
        self.in_flight = 0
        """Requests that are running or waiting."""
        self._limiter = CapacityLimiter(threads)

    @property
    def running(self) -> int:
        """Requests that have a thread."""
        return self._limiter.borrowed_tokens

    async def run(self, work: Callable[..., R], *args: object) -> R:
        """Call `work` in one of the threads, with the request's context."""
        return await to_thread.run_sync(work, *args, limiter=self._limiter)

    def threaded(self, work: Callable[P, R]) -> Callable[P, Awaitable[R]]:
        """Decorator: the function as a coroutine function that runs in one of the threads."""

        @wraps(work)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(partial(work, *args, **kwargs))

        return run


class LoadShedding:
    """ASGI middleware: 503 for the nine routes while the limit is reached.

    A request whose body stalls is ended after bodies.IDLE_SECONDS.
    """

    def __init__(self, app: ASGIApp, capacity: Capacity, answer: Answers) -> None:
        self.app = app
        self.capacity = capacity
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        capacity = self.capacity
        if scope["type"] != "http" or not path_of(scope).startswith(_LIMITED):
            await self.app(scope, receive, send)
        elif capacity.in_flight >= capacity.limit:
            detail = f"The server is busy with {capacity.limit} requests; try again later."
            refusal = self.answer.failure(scope, Overloaded.status, Overloaded.type, detail)
            await refusal(scope, receive, send)
        else:
            capacity.in_flight += 1
            try:
                await self.app(scope, limit_idle_time(receive), send)
            finally:
                capacity.in_flight -= 1
