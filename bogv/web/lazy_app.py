"""An ASGI app that is made while the server answers already.

Importing gradio takes seconds; the REST API doesn't wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)


class LateApp:
    """Stands where an app will be. A request that comes too early waits for it."""

    def __init__(self, make: Callable[[], FastAPI]) -> None:
        self._make = make
        self._made: asyncio.Future[FastAPI]

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Make the app in a thread of its own; run its lifespan until the block ends."""
        self._made = asyncio.get_running_loop().create_future()
        ending = asyncio.Event()
        running = asyncio.create_task(self._run(ending))
        try:
            yield
        finally:
            ending.set()
            await running

    async def _run(self, ending: asyncio.Event) -> None:
        # Gradio asks for a loop while it builds the page, and needs it no more afterwards.
        async def made() -> FastAPI:
            return self._make()

        try:
            app = await asyncio.to_thread(asyncio.run, made())
            async with app.router.lifespan_context(app):
                self._made.set_result(app)
                await ending.wait()
        except Exception as error:
            if self._made.done():
                raise
            log.exception("The demo can't be served")
            self._made.set_exception(error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what making the app raised."""
        app = await asyncio.shield(self._made)
        await app(scope, receive, send)
