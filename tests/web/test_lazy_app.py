from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from bogv.web.lazy_app import LazyApp


def hello(events: list[str]) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        events.append("opened")
        yield
        events.append("closed")

    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/", lambda: "hello")
    return app


async def ask(app: LazyApp) -> str:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get("/")).text


def served(app: LazyApp, requests: int, before: Callable[[], None] = lambda: None) -> list[str]:
    async def serve() -> list[str]:
        async with app.lifespan():
            waiting = [asyncio.create_task(ask(app)) for _ in range(requests)]
            await asyncio.sleep(0)
            before()
            return await asyncio.gather(*waiting)

    return asyncio.run(serve())


def test_requests_that_come_too_early_wait_and_are_answered() -> None:
    may_start, events = threading.Event(), list[str]()

    def make() -> FastAPI:
        assert may_start.wait(30)
        return hello(events)

    assert served(LazyApp(make), 3, may_start.set) == ['"hello"'] * 3
    assert events == ["opened", "closed"]


def test_the_loop_goes_on_while_the_app_is_made() -> None:
    seen_by_loop = threading.Event()

    def make() -> FastAPI:
        assert seen_by_loop.wait(30)  # would never be set by a loop that is blocked
        return hello([])

    assert served(LazyApp(make), 1, seen_by_loop.set) == ['"hello"']


def test_an_app_that_ends_while_it_is_made_is_opened_and_closed_all_the_same() -> None:
    events = list[str]()
    assert served(LazyApp(lambda: hello(events)), 0) == []
    assert events == ["opened", "closed"]


def test_a_caller_that_gives_up_leaves_the_others_waiting() -> None:
    may_start = threading.Event()

    def make() -> FastAPI:
        assert may_start.wait(30)
        return hello([])

    async def serve() -> str:
        app = LazyApp(make)
        async with app.lifespan():
            hasty, patient = (asyncio.create_task(ask(app)) for _ in range(2))
            await asyncio.sleep(0.01)
            hasty.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hasty
            may_start.set()
            return await patient

    assert asyncio.run(serve()) == '"hello"'


def test_what_making_the_app_raised_is_logged_and_raised_to_each_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def make() -> FastAPI:
        raise ImportError("no gradio")

    with pytest.raises(ImportError, match="no gradio"):
        served(LazyApp(make), 2)
    assert "The demo failed to start" in caplog.text
