"""What is no HTTP gets an envelope too, though the app never hears of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from threading import Event, Thread

import pytest
import uvicorn

from bogv import bootstrap
from bogv.config import Settings
from bogv.web.malformed import EnvelopeProtocol
from tests.support.fakes import lite_search

HEAD = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("malformed")
    app = bootstrap.create_app(Settings(data_dir=folder), lite_search(folder))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=EnvelopeProtocol, log_config=None, ws="none")
    server, up = uvicorn.Server(config), Event()

    async def serve() -> None:
        running = asyncio.create_task(server.serve([listener]))
        while not (server.started or running.done()):
            await asyncio.sleep(0.01)
        up.set()
        await running

    thread = Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(60)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join()
    listener.close()


def answer(port: int, request: bytes) -> tuple[bytes, bytes]:
    """The status line and the body."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /api/\xff" + HEAD + b"\r\n",
        b"GET /api/a b" + HEAD + b"\r\n",
        b"GET /api/health\0" + HEAD + b"\r\n",
        b"GET /api/health HTTP/1.1\r\n\r\n",
        b"POST /api/image/sim/del/id" + HEAD + b"Content-Length: abc\r\n\r\n",
        b"POST /api/image/sim/del/id" + HEAD + b"Content-Length: -1\r\n\r\n",
        b"POST /api/image/sim/del/id" + HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        b"GET /api/health" + HEAD + b"no colon\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ],
)
def test_what_cannot_be_parsed_is_a_400_envelope(port: int, request_: bytes) -> None:
    status, body = answer(port, request_)
    assert status == b"HTTP/1.1 400 Bad Request"
    told = json.loads(body)
    assert (told["msg"], told["code"], told["data"]) == ("请求失败!", 500, None)
    assert told["error"]["type"] == "invalid-request"


def test_headers_without_an_end_are_a_400_envelope(port: int) -> None:
    endless = b"GET /api/health" + HEAD + b"X: " + b"a" * 200_000
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(endless)
        assert b"invalid-request" in connection.recv(65536)


@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS", b"TRACE", b"PROPFIND", b"get"])
@pytest.mark.parametrize("path", [b"/api", b"/api?x=1", b"/api/", b"/api/%zz", b"/%61pi/%ff"])
def test_every_answer_below_api_is_an_envelope(port: int, method: bytes, path: bytes) -> None:
    status, body = answer(port, method + b" " + path + HEAD + b"\r\n")
    assert status == b"HTTP/1.1 404 Not Found"
    told = json.loads(body)
    assert (told["code"], told["error"]["type"]) == (500, "no-such-route")


def test_an_answer_to_head_has_no_body(port: int) -> None:
    assert answer(port, b"HEAD /api" + HEAD + b"\r\n") == (b"HTTP/1.1 404 Not Found", b"")


@pytest.mark.parametrize("more", [b"Upgrade: websocket\r\n", b"Expect: miracles\r\n"])
def test_what_is_asked_for_besides_changes_nothing(port: int, more: bytes) -> None:
    status, body = answer(port, b"GET /api/nothing" + HEAD + more + b"\r\n")
    assert status == b"HTTP/1.1 404 Not Found"
    assert json.loads(body)["error"]["type"] == "no-such-route"
