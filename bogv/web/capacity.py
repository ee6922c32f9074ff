"""Load shedding: the number of API requests that may be in flight, and the threads they run in.

A request counts as in flight from before its body is read until it is answered; above the limit,
requests are refused (503, `Retry-After`). The work runs in a thread pool of the API's own, so that
a flood of requests takes no threads from the demo, which uses starlette's, nor from health, which
uses neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import Overloaded
from bogv.web.access import client_of
from bogv.web.bodies import limit_idle_time, limit_values
from bogv.web.envelope import Envelopes, path_of

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
        self.arriving: Counter[str] = Counter()
        """Requests by client whose body is not complete."""
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

    A request whose body stalls is ended after bodies.IDLE_SECONDS; one client's incomplete bodies
    may make up three quarters of the limit.
    """

    def __init__(self, app: ASGIApp, capacity: Capacity, envelopes: Envelopes) -> None:
        self.app = app
        self.capacity = capacity
        self.envelopes = envelopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        capacity = self.capacity
        if scope["type"] != "http" or not path_of(scope).startswith(_LIMITED):
            await self.app(scope, receive, send)
        elif capacity.in_flight >= capacity.limit or self._is_hoarding(scope):
            detail = f"The server is busy with {capacity.limit} requests; try again later."
            refusal = self.envelopes.failure(scope, Overloaded.status, Overloaded.type, detail)
            await refusal(scope, receive, send)
        else:
            capacity.in_flight += 1
            receive = limit_values(scope, limit_idle_time(receive))
            client = client_of(scope)
            capacity.arriving[client] += 1
            is_arriving = True

            def arrived() -> None:
                nonlocal is_arriving
                if is_arriving:
                    is_arriving = False
                    capacity.arriving -= Counter([client])  # drops the client at zero

            async def receive_and_note_end() -> Message:
                message = await receive()
                if not message.get("more_body"):
                    arrived()
                return message

            try:
                await self.app(scope, receive_and_note_end, send)
            finally:
                arrived()
                capacity.in_flight -= 1

    def _is_hoarding(self, scope: Scope) -> bool:
        """A few bytes a second are enough to keep a body incomplete for hours."""
        limit = self.capacity.limit
        return self.capacity.arriving[client_of(scope)] >= limit - limit // 4
