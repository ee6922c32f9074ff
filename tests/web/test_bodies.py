"""Limits on request bodies: size, idle time, and bodies that are not read."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bogv.config import Settings
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web import bodies
from bogv.web.api import create_api
from bogv.web.bodies import MAX_VALUES, CloseUnread, limit_idle_time, read_timeout
from bogv.web.schemas import MAX_ITEMS
from tests.support.fakes import lite_search

SIM = "/api/image/sim"
MAX_UPLOAD = 100_000  # bytes


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("bodies"), MAX_UPLOAD)
    yield service
    service.close()


@pytest.fixture
def client(search: ImageSearch, tmp_path: Path) -> TestClient:
    settings = Settings(max_upload_mb=MAX_UPLOAD / 1024 / 1024)
    app = FastAPI()
    app.mount("/api", create_api(settings, search, Sources([tmp_path], MAX_UPLOAD)))
    return TestClient(app)


# Size

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n1\r\n'
KEY = b'Content-Disposition: form-data; name="key"\r\n\r\n'


@pytest.mark.parametrize(
    "body",
    [
        b"".join(PART % (b"k%d" % n, b"") for n in range(1100)),  # fields
        b"".join(PART % (b"file", b'; filename="%d"' % n) for n in range(1100)),  # files
        b"--b\r\nX: " + b"x" * 50_000 + b"\r\n" + KEY,
        b"--b\r\n" + b"X: x\r\n" * 1000 + KEY,
        b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n",
        b"--" + b"b" * 1000,
    ],
    ids=["fields", "files", "large header", "many headers", "no name", "no boundary"],
)
def test_a_multipart_body_of_too_many_or_too_large_parts_is_refused(
    client: TestClient, search: ImageSearch, body: bytes
) -> None:
    response = client.post(f"{SIM}/add/file", content=body + b"--b--\r\n", headers=MULTIPART)
    assert (response.status_code, response.json()["code"]) == (400, 500)
    assert response.json()["error"]["type"] == "invalid-request"
    assert search.stats().count == 0


@pytest.mark.parametrize("route", ["add/file", "add/url", "del/key"])
@pytest.mark.parametrize("start", [b"", (PART % (b"key", b""))[:-3], b'{"url": "'])
def test_no_more_of_a_body_is_read_than_the_limit(
    client: TestClient, route: str, start: bytes
) -> None:
    """Asked as a server asks: each part is taken when the app calls for it."""
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        body = (start if not taken else b"") + b"x" * 10_000
        taken += len(body)
        return {"type": "http.request", "body": body, "more_body": True}

    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    kind = MULTIPART["Content-Type"] if "file" in route else "application/json"
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{SIM}/{route}",
        "query_string": b"",
        "headers": [(b"content-type", kind.encode()), (b"content-length", b"10")],  # a lie
        "client": ("192.0.2.1", 1),
    }
    app: Any = client.app
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] in {400, 413}
    assert taken < 300_000


# Time


def test_a_body_may_idle_but_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.01)
    parts = iter([b"a", b"b"])

    async def receive() -> Any:
        part = next(parts, None)
        if part is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": part, "more_body": True}

    async def story() -> None:
        limited = limit_idle_time(receive)
        assert [(await limited())["body"] for _ in range(2)] == [b"a", b"b"]
        with pytest.raises(HTTPException, match="nothing was received"):
            await limited()

    asyncio.run(story())


def test_after_the_body_the_client_may_wait_for_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.01)
    messages: Iterator[Any] = iter(
        [{"type": "http.request", "body": b"a"}, {"type": "http.disconnect"}]
    )

    async def receive() -> Any:
        message = next(messages)
        await asyncio.sleep(0.1 if message["type"] == "http.disconnect" else 0)
        return message

    async def story() -> None:
        limited = limit_idle_time(receive)
        assert (await limited())["body"] == b"a"
        assert (await limited())["type"] == "http.disconnect"

    asyncio.run(story())


def test_each_byte_extends_the_time_to_read() -> None:
    assert (read_timeout(0), read_timeout(5000)) == (20, 30)


# Bodies that are not read


def app_with(answer: Any, *middleware: Middleware) -> Starlette:
    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=list(middleware))


@pytest.mark.parametrize(
    ("path", "content", "closes"),
    [
        ("/read", [b"x", b"y"], False),
        ("/unread", [b"x", b"y"], True),
        ("/unread", b"xy", False),
        ("/unread", b"x" * 11, True),
        ("/read", b"x" * 11, False),
        ("/unread", None, False),
    ],
)
def test_the_connection_is_closed_where_a_large_body_was_not_read(
    monkeypatch: pytest.MonkeyPatch, path: str, content: Any, closes: bool
) -> None:
    monkeypatch.setattr(CloseUnread, "DISCARDED", 10)

    async def answer(request: Request) -> Response:
        if request.url.path == "/read":
            await request.body()
        return Response()

    sent = iter(content) if isinstance(content, list) else content
    response = TestClient(app_with(answer, Middleware(CloseUnread))).post(path, content=sent)
    assert (response.headers.get("Connection") == "close") is closes


# Values


@pytest.mark.parametrize("junk", [b"[],", b"{},", b"1,", b'"",'])
@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_json_of_too_many_values_is_refused_before_it_is_parsed(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, junk: bytes, kind: str
) -> None:
    def parse(*_: object, **__: object) -> None:
        raise AssertionError("the body was parsed")

    monkeypatch.setattr("starlette.requests.json.loads", parse)
    body = b'{"id": [' + junk * MAX_VALUES + b"1]}"
    answer = client.post(f"{SIM}/del/id", content=body, headers={"Content-Type": kind})
    monkeypatch.undo()
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too-large")


def test_as_many_ids_as_may_be_named_are_taken(client: TestClient) -> None:
    ids = list(range(1, MAX_ITEMS + 1))
    for named in (ids, ",".join(map(str, ids))):
        assert client.post(f"{SIM}/del/id", json={"id": named}).status_code == 404
