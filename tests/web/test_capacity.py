"""More requests than the limit, and what is answered meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.types import Message

from bogv.config import Settings
from bogv.records import SearchResult
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web import bodies
from bogv.web.api import create_api
from bogv.web.capacity import Capacity
from tests.support.fakes import lite_search, png

SEARCH = "/image/sim/search/file"


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("shedding"))
    yield service
    service.close()


class Gate:
    """A search that ends when the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.open = threading.Event()

    def search(self, *_: object, **__: object) -> SearchResult:
        self.begun.release()
        assert self.open.wait(30)
        return SearchResult([], {})


@pytest.fixture
def gate(search: ImageSearch, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(search, "search", gate.search)
    return gate


def api(search: ImageSearch, tmp_path: Path, **settings: Any) -> FastAPI:
    return create_api(Settings(**settings), search, Sources([tmp_path], 100_000))


def client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def until_begun(gate: Gate, count: int) -> None:
    for _ in range(count):
        await asyncio.to_thread(gate.begun.acquire, timeout=30)


async def metric(asked: httpx.AsyncClient, name: str) -> float:
    text = (await asked.get("/metrics")).text
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_beyond_its_places_bogv_says_come_again_and_then_goes_on(
    search: ImageSearch, gate: Gate, tmp_path: Path
) -> None:
    async def story() -> None:
        async with client(api(search, tmp_path, max_queue=2)) as asked:
            files = {"file": ("a.png", png(1))}
            under_way = [asyncio.create_task(asked.post(SEARCH, files=files)) for _ in range(2)]
            await until_begun(gate, 2)
            assert await metric(asked, "bogv_queue_depth") == 2
            assert await metric(asked, "bogv_requests_at_work") == 2

            shed = await asked.post(SEARCH, files=files)
            body = shed.json()
            assert (shed.status_code, body["error"]["type"]) == (503, "overloaded")
            assert (body["msg"], body["code"], body["data"]) == ("检索图片失败!", 500, None)
            assert int(shed.headers["Retry-After"]) > 0
            assert (await asked.get("/health")).status_code == 200

            gate.open.set()
            assert [each.status_code for each in await asyncio.gather(*under_way)] == [200, 200]
            assert await metric(asked, "bogv_queue_depth") == 0
            assert (await asked.post(SEARCH, files=files)).status_code == 200

    asyncio.run(story())


async def ask(app: FastAPI, receive: Callable[[], Awaitable[Message]]) -> list[Message]:
    """A search whose body comes from `receive`."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": SEARCH,
        "query_string": b"",
        "headers": [(b"content-type", b"multipart/form-data; boundary=b")],
    }
    await app(scope, receive, send)
    return sent


def test_who_is_turned_away_is_so_before_the_body_is_read(
    search: ImageSearch, gate: Gate, tmp_path: Path
) -> None:
    async def unread() -> Message:
        raise AssertionError("the body was read")

    async def story() -> None:
        app = api(search, tmp_path, max_queue=1)
        async with client(app) as asked:
            held = asyncio.create_task(asked.post(SEARCH, files={"file": ("a.png", png(1))}))
            await until_begun(gate, 1)
            assert (await ask(app, unread))[0]["status"] == 503
            gate.open.set()
            assert (await held).status_code == 200

    asyncio.run(story())


def test_a_body_that_stops_coming_gives_up_its_place(
    search: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.01)

    async def stalled() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def story() -> None:
        app = api(search, tmp_path, max_queue=1)
        start, body = await ask(app, stalled)
        assert start["status"] == 400
        assert b"Timed out reading the body" in body["body"]
        async with client(app) as asked:
            assert await metric(asked, "bogv_queue_depth") == 0

    asyncio.run(story())


def test_a_request_that_ends_in_a_fault_gives_its_place_back(
    search: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(search, "search", broken)

    async def story() -> None:
        async with client(api(search, tmp_path, max_queue=1)) as asked:
            for _ in range(3):
                answer = await asked.post(SEARCH, files={"file": ("a.png", png(1))})
                assert answer.json()["error"]["type"] == "internal-error"

    asyncio.run(story())


def test_requests_take_no_threads_from_the_demo(gate: Gate) -> None:
    async def story() -> None:
        capacity = Capacity(limit=100, threads=40)
        busy = [asyncio.create_task(capacity.run(gate.search)) for _ in range(60)]
        await until_begun(gate, 40)
        assert capacity.running == 40
        # What gradio's events and starlette's files are run with.
        assert await run_in_threadpool(lambda: "at once") == "at once"
        gate.open.set()
        await asyncio.gather(*busy)
        assert capacity.running == 0

    asyncio.run(story())


def test_one_client_whose_bodies_do_not_come_leaves_room_for_others(
    search: ImageSearch, tmp_path: Path
) -> None:
    """A few bytes a second, from one address, held all places."""

    async def story() -> None:
        stalled = asyncio.Event()

        async def never() -> Message:
            await stalled.wait()
            return {"type": "http.disconnect"}

        app = api(search, tmp_path, max_queue=8)
        held = [asyncio.create_task(ask(app, never)) for _ in range(6)]
        await asyncio.sleep(0.1)
        assert (await ask(app, never))[0]["status"] == 503  # the same client
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("10.0.0.2", 1)), base_url="http://test"
        ) as other:
            answer = await other.post(SEARCH, files={"file": ("a.png", png(1))})
            assert answer.status_code == 200
        stalled.set()
        await asyncio.gather(*held)

    asyncio.run(story())
