"""URLs: which are fetched, from where, and how much of what comes."""

from __future__ import annotations

import asyncio
import gzip
import socket
from typing import Any

import httpx
import pytest

from bogv.errors import FetchFailed, InvalidUrl, TooLarge, UrlNotAllowed
from bogv.sources import urls as module
from bogv.sources.sources import Sources
from tests.support.web import reply, serving

LIMIT = 1000


@pytest.fixture
def fenced() -> Sources:
    return Sources([], LIMIT)


@pytest.fixture
def open_to_private() -> Sources:
    return Sources([], LIMIT, allow_private_urls=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "[::]",
        "0",
        "0177.0.0.1",
        "017700000001",
        "0x7f.1",
        "LOCALHOST",
        "example.com@127.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
def test_a_url_to_this_machine_or_a_private_one_is_refused(fenced: Sources, host: str) -> None:
    with pytest.raises((UrlNotAllowed, InvalidUrl)):
        fenced.from_url(f"http://{host}:9/cat.jpg")


@pytest.mark.parametrize("host", ["127.0.0.1.", "localhost.", "[fe80::1%25lo]", "[::1%25lo]"])
def test_an_unusual_spelling_of_a_private_address_is_not_fetched(
    fenced: Sources, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    async def connect(self: Any, request: Any) -> Any:
        pytest.fail(f"connected to {request.url}")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    with pytest.raises((UrlNotAllowed, InvalidUrl, FetchFailed)):
        fenced.from_url(f"http://{host}:9/cat.jpg")


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(UrlNotAllowed):
        asyncio.run(module._resolve_public("two.example"))


def test_the_connection_goes_to_the_address_that_was_checked(
    fenced: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is resolved once; a second, private answer would find nobody asking."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    resolve_to(monkeypatch, answers)
    connected: list[str] = []

    async def connect(self: Any, request: Any) -> Any:
        connected.append(request.url.host)
        assert request.headers["Host"] == "rebind.example"
        assert request.extensions["sni_hostname"] == "rebind.example"
        assert request.extensions["timeout"]["read"]
        raise httpx.ConnectError("enough seen")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", connect)
    with pytest.raises(FetchFailed, match="enough seen"):
        fenced.from_url("http://rebind.example/cat.jpg")
    assert connected == ["93.184.216.34"]
    assert next(answers) == ["127.0.0.1"]


def resolve_to(monkeypatch: pytest.MonkeyPatch, answers: Any) -> None:
    """Every name resolves to these addresses, or to the next of several answers."""

    async def getaddrinfo(self: Any, host: str, port: object, **more: object) -> list[Any]:
        addresses = next(answers) if hasattr(answers, "__next__") else answers
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cat.jpg",
        "ftp://example.com/a",
        "file:///etc/passwd",
        "http://",
        "http://[::1",
        "gopher://x",
    ],
)
def test_only_http_and_https_urls_are_accepted(fenced: Sources, url: str) -> None:
    with pytest.raises(InvalidUrl):
        fenced.from_url(url)


UNREADABLE = [
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:8_0/",
    "http://127.0.0.1:+80/",
    "http://127.0.0.1:١/",
    "http://user:word@127.0.0.1:65536",
    "http://127.0.0.1:99999999999999999999?x",
    f"http://127.0.0.1:{'9' * 5000}/",
    "http://[::1]:65536/",
    "http://[::1]x/",
    "http://[::1",
    "https://xn--/",
    "http://xn--a/",
    "http://xn--zzzzzzzzzz99999999/a",
    "http://xn--ls8h.invalid/",
    "http://a.xn--/",
    "http://a.xn--zzzzzzzzzz99999999.invalid/",
    "http://💩.invalid/",
    "http://a..invalid/",
    "https://.invalid/",
    f"http://{'a' * 64}.invalid/",
    f"http://{'a.' * 127}invalid/",
    "http://[v1.x]/",
    "//127.0.0.1:65536",
    "//xn--a/",
]


@pytest.mark.parametrize("url", UNREADABLE)
def test_a_url_with_an_invalid_port_or_host_is_rejected(
    fenced: Sources, open_to_private: Sources, url: str
) -> None:
    for sources in (fenced, open_to_private):
        with pytest.raises(InvalidUrl):
            sources.from_url(url)


@pytest.mark.parametrize("to", UNREADABLE)
def test_a_redirect_to_an_invalid_port_or_host_is_rejected(
    open_to_private: Sources, to: str
) -> None:
    def answer(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: " + to.encode() + b"\r\n\r\n")

    with serving(answer) as base, pytest.raises(InvalidUrl):
        open_to_private.from_url(base)


@pytest.mark.parametrize("host", ["bücher.example", "xn--bcher-kva.example", "straße.example"])
def test_an_internationalized_name_is_resolved_by_idna_2008(
    fenced: Sources, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """As IDNA 2008 says; Python's resolver would look for strasse.example."""
    asked: list[str] = []

    async def nowhere(host: str) -> str:
        asked.append(host)
        raise httpx.ConnectError("nowhere")

    monkeypatch.setattr(module, "_resolve_public", nowhere)
    with pytest.raises(FetchFailed):
        fenced.from_url(f"http://{host}./x")
    assert asked[0] in {"xn--bcher-kva.example.", "xn--strae-oqa.example."}


def test_the_body_of_a_redirect_is_not_read(open_to_private: Sources) -> None:
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        if handler.path == "/new":
            reply(handler, b"cat")
            return
        handler.send_response(302)
        handler.send_header("Location", "/new")
        handler.end_headers()
        try:
            while sent < 500 * 2**20:
                sent += handler.wfile.write(b"x" * 2**16)
        except OSError:
            return

    with serving(endless) as base:
        assert open_to_private.from_url(base) == b"cat"
    assert sent < 500 * 2**20  # the rest is what the connection holds


def test_an_image_is_fetched_through_a_redirect(open_to_private: Sources) -> None:
    def answer(handler: Any) -> None:
        if handler.path == "/old":
            reply(handler, b"", 302, Location="/new")
        else:
            reply(handler, b"cat")

    with serving(answer) as base:
        assert open_to_private.from_url(f"{base}/old") == b"cat"


def test_a_redirect_to_a_private_address_is_rejected(
    fenced: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first request is let through to a server here that sends the client inward."""
    checked = module._resolve_public

    async def first_is_public(host: str) -> str:
        return "127.0.0.1" if host == "public.example" else await checked(host)

    monkeypatch.setattr(module, "_resolve_public", first_is_public)
    with serving(lambda h: reply(h, b"", 302, Location="http://127.0.0.1:1/secret")) as base:
        port = base.rsplit(":", 1)[1]
        with pytest.raises(UrlNotAllowed):
            fenced.from_url(f"http://public.example:{port}/")


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "//[", "gopher:x"]
)
def test_a_redirect_to_another_scheme_fails(open_to_private: Sources, to: str) -> None:
    with serving(lambda h: reply(h, b"", 302, Location=to)) as base, pytest.raises(FetchFailed):
        open_to_private.from_url(base)


def test_each_name_of_a_chain_of_redirects_is_checked(
    fenced: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of them leads to a name with two addresses, one of them inside."""
    names = {"a.example": "127.0.0.1", "b.example": "127.0.0.1"}
    checked = module._resolve_public

    async def known(host: str) -> str:
        return names.get(host) or await checked(host)

    resolve_to(monkeypatch, ["8.8.8.8", "192.168.0.1"])
    monkeypatch.setattr(module, "_resolve_public", known)

    def answer(handler: Any) -> None:
        port = handler.server.server_port
        following = {"/a": f"http://b.example:{port}/b", "/b": f"http://c.example:{port}/c"}
        reply(handler, b"", 302, Location=following[handler.path])

    with serving(answer) as base, pytest.raises(UrlNotAllowed, match=r"c\.example"):
        fenced.from_url(f"http://a.example:{base.rsplit(':', 1)[1]}/a")


def test_a_compressed_bomb_is_not_unpacked(open_to_private: Sources) -> None:
    bomb = gzip.compress(bytes(100 * LIMIT))
    assert len(bomb) < LIMIT

    def answer(handler: Any) -> None:
        assert handler.headers["Accept-Encoding"] == "identity"
        packed: Any = {"Content-Encoding": "gzip"}
        reply(handler, bomb, **packed)

    with serving(answer) as base:
        assert open_to_private.from_url(base) == bomb


def test_an_endless_body_is_cut_off_at_the_limit(open_to_private: Sources) -> None:
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        try:
            while sent < 500 * 2**20:
                sent += handler.wfile.write(b"x" * 2**16)
        except OSError:
            return

    with serving(endless) as base, pytest.raises(TooLarge):
        open_to_private.from_url(base)
    assert sent < 500 * 2**20  # the rest is what the connection holds


def test_endless_headers_fail(open_to_private: Sources) -> None:
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while sent < 500 * 2**20:
                sent += handler.wfile.write(b"x" * 2**16)
        except OSError:
            return

    with serving(endless) as base, pytest.raises(FetchFailed):
        open_to_private.from_url(base)
    assert sent < 500 * 2**20


def test_a_relative_redirect_keeps_the_host_name(
    fenced: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with the address that the name was pinned to: no certificate is made out for that."""
    asked: list[str] = []

    async def here(host: str) -> str:
        asked.append(host)
        return "127.0.0.1"

    def answer(handler: Any) -> None:
        asked.append(handler.headers["Host"])
        if handler.path == "/a":
            reply(handler, b"", 302, Location="/b")
        else:
            reply(handler, b"cat")

    monkeypatch.setattr(module, "_resolve_public", here)
    with serving(answer) as base:
        name = f"public.example:{base.rsplit(':', 1)[1]}"
        assert fenced.from_url(f"http://{name}/a") == b"cat"
    assert asked == ["public.example", name] * 2


@pytest.mark.parametrize("status", [204, 403, 404, 500])
def test_a_response_with_an_error_status_fails(open_to_private: Sources, status: int) -> None:
    with serving(lambda h: reply(h, b"", status)) as base, pytest.raises(FetchFailed):
        open_to_private.from_url(base)


def test_an_unreachable_url_fails(open_to_private: Sources) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(FetchFailed):
            open_to_private.from_url(f"http://127.0.0.1:{closed.getsockname()[1]}/")


def test_an_endless_redirect_fails(open_to_private: Sources) -> None:
    with serving(lambda h: reply(h, b"", 302, Location="/")) as base, pytest.raises(FetchFailed):
        open_to_private.from_url(base)


def test_a_body_over_the_limit_is_rejected(open_to_private: Sources) -> None:
    with serving(lambda h: reply(h, b"x" * (LIMIT + 1))) as base, pytest.raises(TooLarge):
        open_to_private.from_url(base)


def test_a_slow_body_times_out(open_to_private: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; all of them together don't."""
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.5)

    def drip(handler: Any) -> None:
        import threading

        handler.send_response(200)
        handler.end_headers()
        for _ in range(40):
            try:
                handler.wfile.write(b"x")
                handler.wfile.flush()
            except OSError:
                return
            threading.Event().wait(0.1)

    with serving(drip) as base, pytest.raises(FetchFailed, match="took more than"):
        open_to_private.from_url(base)
