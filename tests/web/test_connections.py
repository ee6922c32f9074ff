"""Connections on real sockets: more than files, slow clients, and malformed requests."""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from bogv import bootstrap
from bogv.config import Settings
from bogv.web import bodies, connections
from bogv.web.connections import (
    AcceptFilter,
    Connections,
    ServerFilter,
    mark_endless,
    raise_file_limit,
)
from tests.support.fakes import lite_search
from tests.support.running import running
from tests.web.support.serving import closed, opened, run_server

HEALTH = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n"


# A server whose seconds are milliseconds


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers once it has the body; for ever, where it is asked for events."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/events":
        for _ in range(40):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.05)
    if scope["path"] == "/much":
        for _ in range(1000):
            body = b"x" * 1_000_000
            await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"done"})


@contextmanager
def serving(limits: Connections, **options: Any) -> Iterator[int]:
    with run_server(app, limits, **options) as (_, port):
        yield port


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CHECK_INTERVAL", 0.05)
    monkeypatch.setattr(bodies, "READ_SECONDS", 0.5)
    monkeypatch.setattr(connections, "WRITE_TIMEOUT", 0.5)


def post(length: int = 1000) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b""),  # silence
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"x"),  # a header that doesn't end
        (b"GET / HTTP/1.1\r\nHost: a\r\n", b""),
        (post(), b""),  # a body that doesn't come
        (post(), b"x"),  # … that comes drop by drop
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"G"),  # a second request that doesn't
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_who_keeps_the_server_waiting_is_hung_up_on(start: bytes, drop: bytes) -> None:
    """Also one that sends a byte now and then: each resets a time-out for silence."""
    with serving(Connections(100, 100)) as port, opened(port, 1, start) as [connection]:
        gone = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                while drop and not gone.wait(0.1):
                    connection.sendall(drop)

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert closed(connection)
        gone.set()
        dripping.join()


@pytest.mark.usefixtures("quick")
def test_who_does_not_take_the_answer_is_hung_up_on() -> None:
    limits = Connections(100, 100)
    ask = b"GET /much HTTP/1.1\r\nHost: a\r\n\r\n"
    with serving(limits) as port, opened(port, 1, ask) as [connection]:
        assert connection.recv(10)
        until(lambda: not limits.open)


@pytest.mark.usefixtures("quick")
def test_what_takes_its_time_for_a_reason_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is a stream of events; a body that is slow, but steady."""
    monkeypatch.setattr(bodies, "MIN_RATE", 1)

    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x"
            time.sleep(0.1)

    client = httpx.Client(trust_env=False, timeout=60)
    with serving(Connections(100, 100)) as port, client:
        assert client.get(f"http://127.0.0.1:{port}/events").text == "x" * 40 + "done"
        assert client.post(f"http://127.0.0.1:{port}/", content=body()).text == "done"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# As many as there may be


@pytest.mark.parametrize("most", [(10, 100), (100, 10)])
@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\n"])
def test_idle_connections_make_room_and_the_oldest_first(
    most: tuple[int, int],
    start: bytes,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "READ_SECONDS", 1e9)  # none is closed for being slow
    limits = Connections(*most)
    with serving(limits) as port:
        with opened(port, 50, start) as idle:
            for _ in range(5):
                answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)
                assert answer.text == "done"
            assert all(map(closed, idle[:35]))
            assert len(limits.open) <= 10
        assert caplog.text.count("The limit of connections is reached") == 1
        until(lambda: not limits.open and not limits.open_by_address)


def test_who_is_at_work_makes_no_room() -> None:
    limits = Connections(100, 10)
    with serving(limits) as port, opened(port, 10, post()) as busy:
        until(lambda: len(limits.open) == 10 and not any(each.is_idle for each in limits.open))
        answer = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "too many connections" in answer.text
        for each in busy:
            each.sendall(b"x" * 1000)
            assert b" 200 " in each.recv(1000)
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=60).text == "done"


def test_a_proxy_has_the_connections_of_all() -> None:
    limits = Connections(30, 5, ["127.0.0.0/8"])
    with serving(limits) as port, opened(port, 25) as idle:
        until(lambda: len(limits.open) == 25)
        for each in idle:
            each.sendall(HEALTH)
            assert b" 200 " in each.recv(1000)


def test_half_of_the_files_at_most_are_connections() -> None:
    def numbers(files: int, most: int = 1000) -> tuple[int, int]:
        limits = Connections.from_settings(Settings(max_connections=most), files)
        assert limits.limit + 5 * limits.backlog < files or files < 64
        return limits.limit, limits.limit_per_address

    assert numbers(1_048_576) == (1000, 250)
    assert numbers(1024) == (512, 128)
    assert numbers(1024, 100) == (100, 25)
    assert numbers(64) == (32, 8)


def test_the_soft_limit_of_files_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: kept.append(limits))
    infinite = resource.RLIM_INFINITY
    for there, files in {
        (256, 4096): 4096,
        (1024, 1_048_576): 65_536,
        (1024, infinite): 65_536,
        (4096, 4096): 4096,
        (100_000, 200_000): 100_000,
        (infinite, infinite): 65_536,
    }.items():
        monkeypatch.setattr(resource, "getrlimit", lambda _, there=there: there)
        assert raise_file_limit() == files
    assert kept == [(4096, 4096), (65_536, 1_048_576), (65_536, infinite)]

    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, infinite))
    assert raise_file_limit() == 256


def test_that_files_ran_out_is_one_line_of_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: clock.now))
    logger = logging.getLogger("tests.accept")
    logger.addFilter(AcceptFilter())
    for _ in range(2):
        for _ in range(1000):
            exc = OSError(24, "Too many open files")
            logger.error("socket.accept() out of system resource\nsocket: …", exc_info=exc)
        clock.now += 60
    logger.error("Task exception was never retrieved", exc_info=exc)
    assert [bool(record.exc_info) for record in caplog.records] == [False, False, True]


def test_the_steps_of_a_start_and_a_shutdown_are_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("tests.uvicorn")
    logger.addFilter(ServerFilter())
    logger.error("Exception in ASGI application", exc_info=asyncio.CancelledError("shutdown"))
    logger.error("Finished server process [%d]", 1)
    logger.error("Exception in ASGI application", exc_info=ValueError("a bug"))
    logger.error("Shutting down")
    assert caplog.messages == ["Exception in ASGI application", "Shutting down"]


def test_a_shutdown_ends_endless_responses_and_waits_for_others() -> None:
    """Without a time-out: else it would wait for ever, or cut off the one that ends by itself."""
    release = threading.Event()

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/endless":
            mark_endless(scope)
            while (await receive())["type"] != "http.disconnect":
                pass
            release.set()
        await asyncio.to_thread(release.wait)
        await send({"type": "http.response.body", "body": b"done"})

    with run_server(stream, Connections(9, 9)) as (server, port), ExitStack() as stack:
        ask = b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n"
        [other] = stack.enter_context(opened(port, 1, ask % b""))
        assert b"200 OK" in other.recv(65536)
        [endless] = stack.enter_context(opened(port, 1, ask % b"endless"))
        assert b"200 OK" in endless.recv(65536)
        server.should_exit = True
        assert b"done" in other.recv(65536)
        assert closed(endless)


# The whole server


def test_more_idle_connections_than_files_do_not_stop_health(tmp_path: Path) -> None:
    """Files are 256 here, so that it is cheap; connections 300, and again 300 while it asks."""
    limited = "import resource as r, runpy; r.setrlimit(r.RLIMIT_NOFILE, (256, 256));"
    start = f"{limited} runpy.run_path('app.py', run_name='__main__')"
    with running(tmp_path / "data", "-c", start, BOGV_CANARY_SECONDS="0") as server:
        port = urlsplit(server.url).port
        assert port is not None
        size = server.log.stat().st_size
        with opened(port, 300), opened(port, 300, b"GET / HT"):
            for _ in range(20):
                answer = httpx.get(f"{server.url}/api/health", trust_env=False, timeout=30)
                assert answer.status_code == 200
        assert server.log.stat().st_size - size < 20_000
        assert "out of system resource" not in server.log.read_text()


# Malformed requests

HEAD = b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("malformed")
    app = bootstrap.create_app(Settings(data_dir=folder), lite_search(folder))
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=Connections(100, 100).protocol, log_config=None, ws="none")
    server, up = uvicorn.Server(config), threading.Event()

    async def serve() -> None:
        running = asyncio.create_task(server.serve([listener]))
        while not (server.started or running.done()):
            await asyncio.sleep(0.01)
        up.set()
        await running

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
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
        received = b""
        with suppress(ConnectionResetError):  # the rest of the headers was not read
            while part := connection.recv(65536):
                received += part
        assert b"invalid-request" in received


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
