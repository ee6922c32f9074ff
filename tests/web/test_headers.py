"""Security headers, and the Content-Security-Policy of pages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bogv.web.headers import ContentSecurityPolicy, SecurityHeaders


def app_with(answer: Callable[[Request], Any], *middleware: Middleware) -> Starlette:
    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=list(middleware))


def _empty(_: Request) -> Response:
    return Response()


def test_every_answer_tells_browsers_to_be_careful() -> None:
    client = TestClient(app_with(_empty, Middleware(SecurityHeaders)))
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

    app = app_with(
        answer, Middleware(SecurityHeaders), Middleware(ContentSecurityPolicy, also=also)
    )
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
        await ContentSecurityPolicy(stream)({"type": "http"}, _nothing, send)

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
