"""Fetching images from clients' URLs, from public addresses only (SSRF protection)."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from functools import cache

import httpx

from bogv.errors import FetchFailed, InvalidUrl, UrlNotAllowed
from bogv.sources.addresses import is_public
from bogv.sources.limits import check_size

FETCH_SECONDS = 20.0
MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
# The port: after the authority's last colon, which is none of a login or an IPv6 address.
_PORT = re.compile(r"[^/?#]*//[^/?#]*:([^/?#:@\]]*)(?:[/?#]|$)")
_DIGITS = re.compile(r"[0-9]{1,9}")


async def fetch(url: str, max_bytes: int, allow_private: bool) -> bytes:
    """The body of an http or https URL, redirects included, within FETCH_SECONDS in total.

    Raises InvalidUrl, UrlNotAllowed, FetchFailed, TooLarge.
    """
    parsed = _parse(url)
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise InvalidUrl("The URL must begin with http:// or https:// and name a host.")
    try:
        return await asyncio.wait_for(_follow(parsed, max_bytes, allow_private), FETCH_SECONDS)
    except (asyncio.TimeoutError, TimeoutError) as error:
        raise FetchFailed(f"Fetching the URL took more than {FETCH_SECONDS:.0f} s.") from error
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise FetchFailed(f"The URL can't be fetched: {reason}.") from error


async def _follow(url: httpx.URL, max_bytes: int, allow_private: bool) -> bytes:
    transport = httpx.AsyncHTTPTransport if allow_private else PublicTransport
    client = httpx.AsyncClient(
        transport=transport(verify=_tls_context()),
        timeout=FETCH_SECONDS / 2,
        event_hooks={"response": [_hide_location]},
        trust_env=False,  # a proxy would resolve the name itself and bypass the address check
        headers={"User-Agent": "bogv", "Accept": "image/*", "Accept-Encoding": "identity"},
    )
    async with client:
        for _ in range(1 + MAX_REDIRECTS):
            async with client.stream("GET", url) as response:
                location = response.extensions.get("location")
                if location is None or response.status_code not in REDIRECTS:
                    return await _read_body(response, max_bytes)
                url = _redirect(url, location)
    raise FetchFailed(f"The URL leads to more than {MAX_REDIRECTS} redirects.")


@cache
def _tls_context() -> ssl.SSLContext:
    """Shared by all fetches: reading the certificates blocks the event loop for 18 ms."""
    return httpx.create_ssl_context()


async def _hide_location(response: httpx.Response) -> None:
    """Hide the Location header from httpx.

    Even with redirects disabled, httpx reads the whole body of a redirect, which may be endless,
    and raises errors of other libraries for an invalid Location.
    """
    response.extensions["location"] = response.headers.pop("Location", None)


async def _read_body(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code != 200:
        raise FetchFailed(f"The URL answered with status {response.status_code}.")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        check_size(body, max_bytes)
    return bytes(body)


def _redirect(url: httpx.URL, location: str) -> httpx.URL:
    """Raises InvalidUrl, FetchFailed for a scheme other than http and https."""
    target = _parse(location)
    if target.scheme not in {"", "http", "https"}:
        raise FetchFailed("The URL redirects to one that is neither http nor https.")
    try:
        return url.join(target)
    except httpx.InvalidURL as error:
        raise InvalidUrl(f"The URL redirects to an invalid one: {error}.") from error


def _parse(text: str) -> httpx.URL:
    """Raises InvalidUrl for an invalid URL, port or host name.

    httpx detects some of these only when it connects, and raises errors of other libraries.
    """
    text = text.strip()
    try:
        url = httpx.URL(text)
        is_host_valid = not url.host or _is_host(url.raw_host.decode("ascii"))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidUrl(f"The URL is invalid: {error}.") from error
    if not is_host_valid:
        raise InvalidUrl("The URL is invalid: its host is not a valid name.")
    port = _PORT.match(text)
    if port and port[1] and not (_DIGITS.fullmatch(port[1]) and 1 <= int(port[1]) <= 65535):
        raise InvalidUrl("The URL is invalid: its port is not a number from 1 to 65535.")
    return url


def _is_host(host: str) -> bool:
    """Whether a resolver accepts the name: RFC 1035's lengths, Punycode only for non-ASCII labels.

    Raises UnicodeError for invalid Punycode.
    """
    labels = host.lower().removesuffix(".").split(".")
    decoded = [each[4:].encode().decode("punycode") for each in labels if each.startswith("xn--")]
    are_lengths_valid = len(host) <= 253 and all(0 < len(label) < 64 for label in labels)
    return are_lengths_valid and not any(map(str.isascii, decoded))


class PublicTransport(httpx.AsyncHTTPTransport):
    """Connects to public addresses only, checked for each request and each redirect.

    The name is resolved once and the connection is made to the checked address, which prevents DNS
    rebinding. `safehttpx`, a dependency of gradio, does the same, but drops the time-outs, allows
    100.64.0.0/10 (the address of some clouds' metadata service) and queries a public resolver for
    names that the local one doesn't know.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises UrlNotAllowed, httpx.ConnectError for an unknown host."""
        host = request.url.raw_host.decode("ascii")  # IDNA 2008; Python's resolver uses IDNA 2003
        address = await _resolve_public(host)
        # A new request: httpx resolves relative redirects against the URL of the original one.
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await super().handle_async_request(pinned)


async def _resolve_public(host: str) -> str:
    """An address of the host. Raises UrlNotAllowed unless all its addresses are public."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"the host {host!r} is unknown") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise UrlNotAllowed(f"The URL leads to {host!r}, which is not a public address.")
    return addresses[0]
