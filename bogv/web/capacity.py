"""What bogv takes at once, and what it turns away.

A request has a place from before its body is read until it is answered; who finds none is told to
come again (503, `Retry-After`). The work itself is done by threads that are the API's own: a flood
of requests takes none from the demo, which uses starlette's, nor from health, which uses neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import Overloaded
from bogv.web.envelope import Answers, path_of

P = ParamSpec("P")
R = TypeVar("R")

THREADS = 40  # enough to fill the embedder's batches; starlette's own number
BODY_SECONDS = 20.0  # between two parts of a body

_LIMITED = "/image/sim/"


class Load:
    """The places and the threads. To be used from the event loop alone."""

    def __init__(self, places: int, threads: int = THREADS) -> None:
        self.places = places
        self.held = 0
        """Requests at work or waiting."""
        self._limiter = CapacityLimiter(threads)

    @property
    def at_work(self) -> int:
        """Requests that have a thread."""
        return self._limiter.borrowed_tokens

    async def run(self, work: Callable[..., R], *args: object) -> R:
        """The work in one of the threads, with the request's context."""
        return await to_thread.run_sync(work, *args, limiter=self._limiter)

    def threaded(self, work: Callable[P, R]) -> Callable[P, Awaitable[R]]:
        """The same function as a coroutine, which runs in one of the threads."""

        @wraps(work)
        async def run(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self.run(partial(work, *args, **kwargs))

        return run


class Shedding:
    """ASGI middleware: 503 for the nine routes while all places are taken.

    A client whose body stops coming gives up its place after BODY_SECONDS.
    """

    def __init__(self, app: ASGIApp, load: Load, answer: Answers) -> None:
        self.app = app
        self.load = load
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        load = self.load
        if scope["type"] != "http" or not path_of(scope).startswith(_LIMITED):
            await self.app(scope, receive, send)
        elif load.held >= load.places:
            detail = f"{load.places} requests are at work or waiting already; try again later."
            refusal = self.answer.failure(scope, Overloaded.status, Overloaded.type, detail)
            await refusal(scope, receive, send)
        else:
            load.held += 1
            try:
                await self.app(scope, _impatient(receive), send)
            finally:
                load.held -= 1


def _impatient(receive: Receive) -> Receive:
    whole = False

    async def impatient() -> Message:
        nonlocal whole
        if whole:  # what follows a body is the end of the connection, whenever that comes
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), BODY_SECONDS)
        except (asyncio.TimeoutError, TimeoutError) as error:
            detail = f"The body stopped coming: nothing for {BODY_SECONDS:.0f} s."
            raise HTTPException(400, detail) from error
        whole = not message.get("more_body", False)
        return message

    return impatient
