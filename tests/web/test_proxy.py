"""Behind a reverse proxy: forwarding headers of trusted and untrusted peers, and the root path."""

from __future__ import annotations

import logging

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from bogv.web.proxy import RootPath, StripForwarding, TrustedProxies

PROXY = "10.0.0.9"
FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=203.0.113.7",
    "X-Gradio-Server": "http://evil.example",
}


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


def behind(root: str = "", proxies: tuple[str, ...] = ()) -> Starlette:
    middleware = [
        Middleware(TrustedProxies, trusted_hosts=list(proxies)),
        Middleware(StripForwarding, trusts_some=bool(proxies)),
        Middleware(RootPath, root_path=root),
    ]
    return Starlette(routes=[Route("/{path:path}", seen)], middleware=middleware)


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
