"""The whole app behind its token, on a real port: every route, by its own list of routes."""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.routing import Mount

from bogv import bootstrap
from bogv.config import Settings
from bogv.web.access_log import AccessLog
from bogv.web.lazy_app import LazyApp
from tests.support.fakes import lite_search, png

TOKEN = "s3cret-t0ken"
PRIVATE = "a private key"
METHODS = ("GET", "POST", "HEAD", "OPTIONS")
# Who has no token gets these and no others. None shows anything of the gallery.
OPEN = {
    "/api/health",
    "/api/docs",
    "/api/docs/oauth2-redirect",
    "/api/openapi.json",
    "/api/static-offline-docs/x",
    "/",  # the login page, and what it consists of
    "/login",
    "/login/",
    "/logout",
    "/assets/x",
    "/static/x",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
}


@dataclass
class Served:
    """The app, running."""

    app: FastAPI
    port: int
    addresses: Iterator[str]

    def ask(
        self, method: str, path: str, body: bytes | str = b"", address: str = "", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text, for a client that was never there before, if none is named."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        # urllib3 and httpx would tidy the path, and log.
        connection.putrequest(method, path, skip_accept_encoding=True)
        sent = {"X-Forwarded-For": address or next(self.addresses), **headers}
        data = body.encode() if isinstance(body, str) else body
        for name, value in {**sent, "Content-Length": str(len(data))}.items():
            connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        got = answer.status, dict(answer.headers), answer.read().decode("utf-8", "replace")
        connection.close()
        return got


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("doors")
    search = lite_search(folder)
    search.add(png(1), PRIVATE, "/a/private/path")
    settings = Settings(  # 3 a day: the tests come from addresses of their own
        data_dir=folder, token=TOKEN, rate_limit="3/day", trusted_proxies="127.0.0.1"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        app = bootstrap.create_app(settings, search)
        config = uvicorn.Config(
            app, port=0, log_level="trace", log_config=None, proxy_headers=False, ws="none"
        )
        server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        addresses = (f"198.18.{n // 250}.{n % 250}" for n in count())
        ready = Served(app, listening.getsockname()[1], addresses)
        ready.ask("GET", "/")  # waits for the demo
        yield ready
        server.should_exit = True
        thread.join()
        for name in ("uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
            logging.getLogger(name).setLevel(logging.NOTSET)


def routes(app: Any, before: str = "") -> Iterator[str]:
    """The path of every route of an app and of those mounted in it, with their gaps filled."""
    if isinstance(app, AccessLog):
        app = app.app
    if isinstance(app, LazyApp):
        app = app._app.result()
    if isinstance(app, StaticFiles):
        yield f"{before}/x"
        return
    for route in app.routes:
        included = getattr(route, "original_router", None)  # FastAPI's include_router
        if included is not None:
            yield from routes(included, before)
        elif isinstance(route, Mount):
            yield from routes(route.app, before + route.path)
        else:
            yield re.sub(r"{\w+(:\w+)?}", "x", before + route.path)


@pytest.fixture(scope="module")
def paths(served: Served) -> set[str]:
    return set(routes(served.app))


def test_the_walk_sees_every_part_of_the_app(paths: set[str]) -> None:
    assert len([path for path in paths if path.startswith("/api/image/sim/")]) == 9
    assert len([path for path in paths if path.startswith("/gradio_api/")]) > 50
    gradio = {"info", "upload", "queue/join", "queue/data", "file=x", "call/x", "call/x/x"}
    gradio |= {"heartbeat/x", "cancel", "component_server", "proxy=x", "reset", "run/x"}
    assert {f"/gradio_api/{path}" for path in gradio} <= paths
    assert {"/config", "/"} <= paths
    assert paths >= OPEN


def credentials(served: Served) -> list[dict[str, str]]:
    """None; a wrong token; the cookies that gradio would take, with what it never gave out."""
    demo = next(route.app for route in served.app.routes if route.path == "")  # type: ignore[attr-defined]
    gradio = demo.app._app.result().routes[-1].app
    names = (f"access-token-{gradio.cookie_id}", f"access-token-unsecure-{gradio.cookie_id}")
    cookies = [f"{names[0]}={TOKEN}; {names[1]}={TOKEN}", f"{names[0]}=; {names[1]}=None"]
    headers = [{}, {"token": "wrong"}, {"token": TOKEN[:-1]}, *({"Cookie": c} for c in cookies)]
    return [*headers, {"Authorization": f"Bearer {TOKEN[:-1]}"}]


def test_without_the_token_every_route_refuses_but_a_few_that_are_named(
    served: Served, paths: set[str]
) -> None:
    for path in sorted(paths):
        for method in METHODS:
            tried = credentials(served) if method in {"GET", "POST"} else [{}]
            answered = {served.ask(method, path, **each)[0] for each in tried}
            if path not in OPEN:
                assert answered == {401}, (method, path)
            elif method == "GET":
                assert 401 not in answered, path


def test_what_is_open_tells_nothing_of_the_gallery(served: Served) -> None:
    for path in OPEN:
        _, _, text = served.ask("GET", path)
        assert PRIVATE not in text
        assert "private/path" not in text
        assert "query-image" not in text
        assert TOKEN not in text
    assert served.ask("GET", "/api/health")[2].count("status") == 1
    assert "count" not in served.ask("GET", "/api/health")[2]


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/gradio_api",
        "/gradio_api/nothing",
        "//config",
        "/config?x=/assets/x",
        "/assets/../config",
        "/login/../config",
        "/%63onfig",
        "/gradio_api/%69nfo",
        "/gradio_api/info/",
        "/api/image/sim/search/file/",
        "/api//health/../image/sim/del/key",
        "/api/metrics",
        "/docs",
        "/openapi.json",
    ],
)
def test_no_spelling_of_a_path_leads_past_the_door(served: Served, path: str) -> None:
    for method in ("GET", "POST"):
        status, _, text = served.ask(method, path)
        # /assets/../config is a file of the page that isn't there: nothing resolves the dots.
        assert status in ({403, 404, 405} if path.startswith("/assets/") else {401})
        assert PRIVATE not in text


def test_with_the_token_the_routes_answer(served: Served) -> None:
    status, _, text = served.ask("GET", "/api/health", token=TOKEN)
    assert (status, json.loads(text)["data"]["count"]) == (200, 1)
    body = json.dumps({"key": "nobody"})
    json_body = {"Content-Type": "application/json"}
    found = served.ask("POST", "/api/image/sim/del/key", body, token=TOKEN, **json_body)
    assert found[0] == 404
    cookie = login(served, TOKEN)
    assert served.ask("GET", "/config", Cookie=cookie)[0] == 200
    assert served.ask("GET", "/gradio_api/info", Cookie=cookie)[0] == 200
    served.ask("GET", "/logout", Cookie=cookie)
    assert served.ask("GET", "/config", Cookie=cookie)[0] == 401


def login(served: Served, password: str) -> str:
    """The cookies that one gets, "" for none."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"username": "anyone", "password": password})
    _, headers, _ = served.ask("POST", "/login", body, **form)
    return headers.get("set-cookie", "").partition(";")[0]


def test_rest_and_demo_count_as_one_and_health_does_not_count(served: Served) -> None:
    """The rate here: 3 a day."""

    def ask(method: str, path: str, address: str = "192.0.2.77") -> tuple[int, dict[str, str]]:
        return served.ask(method, path, address=address)[:2]

    assert [ask("GET", "/api/health")[0] for _ in range(5)] == [200] * 5
    assert [ask("GET", "/")[0] for _ in range(5)] == [200] * 5
    assert ask("POST", "/api/image/sim/del/key")[0] == 401
    assert ask("POST", "/login")[0] == 422
    assert ask("POST", "/login")[0] == 422
    for path in ("/api/image/sim/del/key", "/login"):
        status, headers = ask("POST", path)
        assert status == 429
        assert 28_000 < int(headers["retry-after"]) <= 28_800
    assert ask("GET", "/api/health")[0] == 200
    assert ask("POST", "/api/image/sim/del/key", "192.0.2.78")[0] == 401


def test_nothing_logs_the_token_nor_what_was_tried(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    tried = "my-other-passw0rd"
    with caplog.at_level(1):
        for token in (TOKEN, tried):
            body = json.dumps({"key": "a key that is no secret"})
            asked = {"token": token, "Content-Type": "application/json"}
            served.ask("POST", "/api/image/sim/del/key", body, **asked)
            served.ask("GET", "/api/health", token=token)
            assert bool(login(served, token)) == (token == TOKEN)
    log = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "/api/image/sim/del/key" in log  # the server logs here
    assert "http.response.start" in log  # all that it can
    assert TOKEN not in log
    assert tried not in log


def test_every_answer_has_the_headers(served: Served) -> None:
    for path in ("/", "/config", "/api/health", "/api/docs", "/api", "/theme.css", "/nothing"):
        _, headers, _ = served.ask("GET", path)
        assert headers["x-content-type-options"] == "nosniff", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
    for path in ("/", "/api/docs"):
        policy = served.ask("GET", path)[1]["content-security-policy"]
        assert "sha256-" in policy
        assert "script-src 'self'" in policy
        assert "script-src 'self' 'unsafe-inline'" not in policy


def test_behind_tls_the_login_is_secure(served: Served) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-Proto": "https"}
    body = urlencode({"username": "anyone", "password": TOKEN})
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("POST", "/login", body, {**form, "X-Forwarded-For": next(served.addresses)})
    cookies = connection.getresponse().headers.get_all("set-cookie") or []
    connection.close()
    assert len(cookies) == 3  # gradio's two, and the device's
    for cookie in cookies:
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))


# Bodies, on the wire


def raw(served: Served, *parts: bytes) -> str:
    """What comes back, once the parts were sent and nothing after them."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.recv(65536).decode("utf-8", "replace")


def head(path: str, *lines: str) -> bytes:
    start = [f"POST {path} HTTP/1.1", "Host: a", f"Token: {TOKEN}", *lines]
    return ("\r\n".join(start) + "\r\n\r\n").encode()


MULTIPART = "Content-Type: multipart/form-data; boundary=b"


@pytest.mark.parametrize("path", ["/api/image/sim/add/file", "/api/image/sim/del/key", "/login"])
def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(
    served: Served, path: str
) -> None:
    declared = head(path, MULTIPART, "Content-Length: 99999999999", forwarded(served))
    assert " 413 " in raw(served, declared).splitlines()[0]


def test_a_body_that_does_not_say_its_size_is_refused_before_it_is_whole(served: Served) -> None:
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"  # 1 MiB
    start = head(
        "/api/image/sim/add/file", MULTIPART, "Transfer-Encoding: chunked", forwarded(served)
    )
    assert megabytes_taken(served, start, chunk) < 500


@pytest.mark.parametrize("path", ["/api/image/sim/add/file", "/gradio_api/upload", "/login"])
def test_a_body_without_an_end_ends_with_the_refusal(served: Served, path: str) -> None:
    """Also of who has no token: uvicorn would read on for ever."""
    line = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    start = f"{line}{MULTIPART}\r\n{forwarded(served)}\r\n\r\n".encode()
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    assert megabytes_taken(served, start, chunk) < 500


def test_a_header_without_an_end_ends_the_connection(served: Served) -> None:
    start = b"GET /api/health HTTP/1.1\r\nHost: a\r\nX: "
    assert megabytes_taken(served, start, b"x" * 0x100000) < 500


def megabytes_taken(served: Served, start: bytes, mebibyte: bytes) -> int:
    """How much is taken of what is sent without an end, before the server hangs up; up to 500."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(start)
        for sent in range(500):
            try:
                connection.sendall(mebibyte)
            except OSError:
                return sent
    return 500


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        (["Content-Length: 2"], {"422"}),  # what follows is no request and is not read as a body
        (["Content-Length: -1"], {"400"}),
        (["Content-Length: 1_0"], {"400"}),
        (["Content-Length: 2", "Content-Length: 200"], {"400"}),
    ],
)
def test_a_length_that_lies_is_no_way_in(
    served: Served, lines: list[str], statuses: set[str]
) -> None:
    json_type = "Content-Type: application/json"
    start = head("/api/image/sim/del/key", json_type, forwarded(served), *lines)
    answer = raw(served, start, b"{}" + b"x" * 1000)
    assert answer.split()[1] in statuses
    assert PRIVATE not in answer


def forwarded(served: Served) -> str:
    return f"X-Forwarded-For: {next(served.addresses)}"
