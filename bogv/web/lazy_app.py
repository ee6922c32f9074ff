"""A lazily initialised ASGI app: importing gradio takes seconds, for which the REST API need not
wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)


class LazyApp:
    """An app that is made in the background. Requests that arrive earlier wait for it."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._app: asyncio.Future[FastAPI]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start to make the app in a thread of its own; run its lifespan until the block ends."""
        self._app = asyncio.get_running_loop().create_future()
        stop = asyncio.Event()
        running = asyncio.create_task(self._run(stop))
        try:
            yield
        finally:
            stop.set()
            await running

    async def _run(self, stop: asyncio.Event) -> None:
        # Gradio needs an event loop while it builds the page, and not afterwards.
        async def make() -> FastAPI:
            return self._make()

        try:
            app = await asyncio.to_thread(asyncio.run, make())
            async with app.router.lifespan_context(app):
                self._app.set_result(app)
                await stop.wait()
        except Exception as error:
            if self._app.done():
                raise
            log.exception("The demo failed to start")
            self._app.set_exception(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Raises the error with which the app failed to start, if it did."""
        app = await asyncio.shield(self._app)
        await app(scope, receive, send)
