from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bogv.web.headers import BehindProxy, HangUp, PagePolicy, SecurityHeaders, TrustedProxies

PROXY = "10.0.0.9"
FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=203.0.113.7",
    "X-Gradio-Server": "http://evil.example",
}


def app_with(answer: Callable[[Request], Any], *middleware: Middleware) -> Starlette:
    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=list(middleware))


def seen(request: Request) -> Response:
    """What the app sees of a request."""
    return JSONResponse(
        {
            "client": request.client.host if request.client else None,
            "scheme": request.url.scheme,
            "path": request.scope["path"],
            "root": request.scope.get("root_path", ""),
            "host": request.headers.getlist("host"),
            "headers": [name for name in request.headers if "forwarded" in name or "x-" in name],
        }
    )


# Answers


def test_every_answer_tells_browsers_to_be_careful() -> None:
    client = TestClient(app_with(seen, Middleware(SecurityHeaders)))
    for answer in (client.get("/a"), client.put("/a")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy


def policy_of(page: str | list[str], also: str = "") -> list[str]:
    """The sources of scripts that a page is sent with."""

    async def parts() -> Any:
        for part in page:
            yield part

    def answer(request: Request) -> Response:
        whole = isinstance(page, str)
        return HTMLResponse(page) if whole else StreamingResponse(parts(), media_type="text/html")

    app = app_with(answer, Middleware(SecurityHeaders), Middleware(PagePolicy, also=also))
    response = TestClient(app).get("/")
    assert response.text == "".join(page)
    directives = dict(
        each.strip().split(" ", 1)
        for each in response.headers["Content-Security-Policy"].split(";")
    )
    assert directives["frame-ancestors"] == "'none'"
    return directives["script-src"].split()


def source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def test_a_page_may_run_the_scripts_that_it_was_sent_with_and_no_other_inline() -> None:
    page = (
        '<script>one();\n</script><SCRIPT data-x type="module">two("猫")</SCRIPT><script src="a">'
    )
    assert policy_of(page) == ["'self'", source("one();\n"), source('two("猫")')]
    assert policy_of("<p>no script") == ["'self'"]
    assert policy_of("<p>", "'unsafe-eval'") == ["'self'", "'unsafe-eval'"]


def test_a_page_that_comes_in_parts_is_read_whole() -> None:
    assert policy_of(["<scr", "ipt>one()</scr", "ipt>", ""]) == ["'self'", source("one()")]


def test_what_is_no_page_is_passed_on_as_it_comes() -> None:
    """Not held back: the demo's events are a stream without an end."""
    sent: list[Any] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(2):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            assert sent[-1]["body"] == b"x"

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        await PagePolicy(stream)({"type": "http"}, _nothing, send)

    asyncio.run(run())
    assert len(sent) == 3


async def _nothing() -> Any:
    """No request has a body here."""


@pytest.mark.parametrize(("base", "secure"), [("http://a", False), ("https://a", True)])
def test_cookies_are_lax_and_behind_tls_secure(base: str, secure: bool) -> None:
    def answer(request: Request) -> Response:
        response = Response()
        response.set_cookie("a", "1", httponly=True)
        response.set_cookie("b", "2", httponly=True, samesite="none", secure=True)
        return response

    client = TestClient(app_with(answer, Middleware(SecurityHeaders)), base_url=base)
    first, second = client.get("/").headers.get_list("set-cookie")
    for cookie in (first, second):
        assert cookie.count("SameSite=Lax") == 1
        assert "none" not in cookie.lower()
        assert "HttpOnly" in cookie
    assert ("Secure" in first, second.count("Secure")) == (secure, 1)


# Bodies that nobody reads


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
    monkeypatch.setattr(HangUp, "DRAINED", 10)

    async def answer(request: Request) -> Response:
        if request.url.path == "/read":
            await request.body()
        return Response()

    sent = iter(content) if isinstance(content, list) else content
    response = TestClient(app_with(answer, Middleware(HangUp))).post(path, content=sent)
    assert (response.headers.get("Connection") == "close") is closes


# Requests


def behind(root: str = "", proxies: tuple[str, ...] = ()) -> Starlette:
    return app_with(
        seen,
        Middleware(TrustedProxies, trusted_hosts=list(proxies)),
        Middleware(BehindProxy, root_path=root, trusts=bool(proxies)),
    )


def test_nobody_is_believed_about_who_asks_unless_named(caplog: pytest.LogCaptureFixture) -> None:
    client = TestClient(behind(), client=("127.0.0.1", 1))
    for _ in range(2):
        got = client.get("/a", headers=FORGED).json()
        assert (got["client"], got["scheme"], got["headers"]) == ("127.0.0.1", "http", [])
    assert caplog.text.count("BOGV_TRUSTED_PROXIES") == 1


def test_a_proxy_that_is_named_is_believed_and_its_headers_go_no_further(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        client = TestClient(behind(proxies=("10.0.0.0/24",)), client=(PROXY, 1))
        got = client.get("/a", headers=FORGED).json()
    assert (got["client"], got["scheme"], got["headers"]) == ("203.0.113.7", "https", [])
    assert not caplog.records


@pytest.mark.parametrize(
    ("peer", "host", "forwarded", "seen_host"),
    [
        (PROXY, "127.0.0.1:7000", "images.example", "images.example"),
        (PROXY, "bogv:7000", "forged.example, images.example:8443", "images.example:8443"),
        (PROXY, "images.example", "localhost", "images.example"),  # it passed the browser's on
        (PROXY, "127.0.0.1:7000", "", "127.0.0.1:7000"),
        ("10.0.0.8", "127.0.0.1:7000", "images.example", "127.0.0.1:7000"),
    ],
)
def test_the_host_is_what_the_proxy_was_asked_for(
    peer: str, host: str, forwarded: str, seen_host: str
) -> None:
    client = TestClient(behind(proxies=(PROXY,)), client=(peer, 1))
    got = client.get("/a", headers={"Host": host, "X-Forwarded-Host": forwarded}).json()
    assert got["host"] == [seen_host]


def test_of_several_addresses_the_one_that_the_proxy_saw_counts() -> None:
    """What stands before it, the client itself may have sent."""
    client = TestClient(behind(proxies=(PROXY,)), client=(PROXY, 1))
    forged = {"X-Forwarded-For": "192.0.2.66, 203.0.113.7"}
    assert client.get("/a", headers=forged).json()["client"] == "203.0.113.7"


def test_others_are_not_believed_where_a_proxy_is_named() -> None:
    client = TestClient(behind(proxies=(PROXY,)), client=("10.0.0.8", 1))
    got = client.get("/a", headers=FORGED).json()
    assert (got["client"], got["scheme"], got["headers"]) == ("10.0.0.8", "http", [])


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ("/api/health", "/bogv/api/health"),
        ("/bogv/api/health", "/bogv/api/health"),
        ("/bogvx", "/bogv/bogvx"),
        ("/", "/bogv/"),
    ],
)
def test_the_path_has_the_root_before_it_whether_the_proxy_strips_it_or_not(
    asked: str, path: str
) -> None:
    got = TestClient(behind("/bogv")).get(asked).json()
    assert (got["path"], got["root"]) == (path, "/bogv")


def test_the_root_itself_leads_to_where_relative_links_are_right() -> None:
    answer = TestClient(behind("/bogv")).get("/bogv", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/bogv/")
