"""Server paths, URLs and Base64 to bytes, behind fences."""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import os
import re
import socket
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

from bogv.errors import (
    BogvError,
    FetchFailed,
    FileMissing,
    InvalidBase64,
    InvalidUrl,
    PathNotAllowed,
    StorageUnavailable,
    TooLarge,
    UrlNotAllowed,
    reason,
)
from bogv.sources.addresses import is_public

FETCH_SECONDS = 20.0
MAX_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
# `data:image/png;base64,`, and `data:image/png;` alone, as the documented system has it: Base64 has
# neither comma nor semicolon, so the image begins behind the last of them.
_DATA_PREFIX = re.compile(r"\s*data:[^,;]{0,100}(?:[,;][^,;]{0,100}){0,9}[,;]", re.IGNORECASE)
# Of the authority: what is behind the last colon, but of a login or an IPv6 address.
_PORT = re.compile(r"[^/?#]*//[^/?#]*:([^/?#:@\]]*)(?:[/?#]|$)")
_DIGITS = re.compile(r"[0-9]{1,9}")


def _without_waiting(path: str, flags: int) -> int:
    """A pipe would hang the reader. Asked what it is only when open: it can't change any more."""
    return os.open(path, flags | os.O_NONBLOCK)


def without_links(path: str, flags: int) -> int:
    """As above, for a path whose links are resolved: one that is there now came since, and may lead
    anywhere. Each folder is opened in the one before it: none can be exchanged for a link."""
    *folders, name = Path(path).parts
    way = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)  # O_PATH: Linux
    inside = os.open(folders[0], way)
    try:
        for folder in folders[1:]:
            deeper = os.open(folder, way, dir_fd=inside)
            os.close(inside)
            inside = deeper
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=inside)
    finally:
        os.close(inside)


def read_file(
    path: Path, max_bytes: int, opener: Callable[[str, int], int] = _without_waiting
) -> bytes:
    """The bytes of a regular file, no fence around it. No error tells the path.

    Raises FileMissing, PathNotAllowed (a folder, a device, a pipe), TooLarge, StorageUnavailable.
    """
    try:
        file = open(path, "rb", opener=opener)  # noqa: SIM115 - needs an opener
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileMissing("There is no file of this name.") from error
    except IsADirectoryError as error:
        raise PathNotAllowed("This is a folder, not a regular file.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise FileMissing("There is no file with so long a name.") from error
        if getattr(error, "errno", None) == errno.ELOOP:
            raise PathNotAllowed("This is a link, not a regular file.") from error
        raise StorageUnavailable(f"The file can't be read: {reason(error)}.") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PathNotAllowed("This is not a regular file.")
        try:
            return _within(file.read(max_bytes + 1), max_bytes)
        except OSError as error:
            raise StorageUnavailable(f"The file can't be read: {reason(error)}.") from error


def decode_base64(text: str, max_bytes: int) -> bytes:
    """Base64, standard or URL-safe, line breaks allowed; with or without a prefix such as
    `data:image/png;base64,` or `data:image/png;`.

    Raises InvalidBase64, TooLarge.
    """
    body = "".join(_DATA_PREFIX.sub("", text, count=1).split())
    if len(body) > (max_bytes + 3) * 4 // 3 + 4:
        raise TooLarge(f"The image is larger than the limit of {max_bytes:,} bytes.")
    body = body.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBase64(f"The text is not Base64: {error}.") from error
    return _within(data, max_bytes)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


class Sources:
    """Reads what a caller names, as far as the fences allow."""

    def __init__(
        self,
        roots: Iterable[Path],
        max_bytes: int,
        allow_private_urls: bool = False,
        private: Iterable[Path] = (),
    ) -> None:
        """private: files and folders that are no source, also where they lie below a root."""
        self.roots = [root.resolve() for root in roots]
        self.private = list(private)
        self.max_bytes = max_bytes
        self.allow_private_urls = allow_private_urls
        self.observe: Callable[[str], None] | None = None
        """Called with the type of the error, for each path and URL that gave no image."""

    @contextmanager
    def _observed(self) -> Iterator[None]:
        try:
            yield
        except BogvError as error:
            if self.observe is not None:
                self.observe(error.type)
            raise

    def inside(self, path: str | Path) -> Path:
        """The path with its links resolved, if it lies below a root.

        Raises PathNotAllowed, also for what isn't there: from outside, the two look the same.
        """
        with self._observed():
            return self._inside(path)

    def _inside(self, path: str | Path) -> Path:
        try:
            resolved = Path(path).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links
            raise PathNotAllowed("The path can't be resolved.") from error
        if not Path(path).is_absolute():
            raise PathNotAllowed("The path must be absolute.")
        if not any(resolved.is_relative_to(root) for root in self.roots):
            raise PathNotAllowed(
                "The path lies outside the folders that may be read (BOGV_IMAGE_ROOTS)."
            )
        if self.is_private(resolved):
            raise PathNotAllowed("The path leads to what bogv keeps for itself.")
        return resolved

    def is_private(self, path: Path) -> bool:
        """Whether a path leads to what is private, or below it.

        Told by the identity of the files, not by their names: a file system may take `CACHE` for
        `cache`, and a folder can be mounted a second time.
        """
        private = set(map(_identity, self.private)) - {None}
        return any(_identity(each) in private for each in (path, *path.parents))

    def from_path(self, path: str) -> bytes:
        """The bytes of a file below a root. Raises what `inside` and `read_file` raise."""
        with self._observed():
            return read_file(self._inside(path), self.max_bytes, without_links)

    def from_base64(self, text: str) -> bytes:
        """Raises InvalidBase64, TooLarge."""
        return decode_base64(text, self.max_bytes)

    def from_url(self, url: str) -> bytes:
        """As `fetch`, for callers that are no coroutines.

        Its end waits for a name that is still being resolved: that may take the resolver's time.
        """
        return asyncio.run(self.fetch(url))

    async def fetch(self, url: str) -> bytes:
        """The body behind an http or https URL, fetched within FETCH_SECONDS, all told.

        Raises InvalidUrl, UrlNotAllowed, FetchFailed, TooLarge.
        """
        with self._observed():
            return await self._in_time(url)

    async def _in_time(self, url: str) -> bytes:
        parsed = _read_url(url)
        if parsed.scheme not in {"http", "https"} or not parsed.host:
            raise InvalidUrl("The URL must begin with http:// or https:// and name a host.")
        try:
            return await asyncio.wait_for(self._fetch(parsed), FETCH_SECONDS)
        except (asyncio.TimeoutError, TimeoutError) as error:
            raise FetchFailed(f"The URL gave no image within {FETCH_SECONDS:.0f} s.") from error
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise FetchFailed(f"The URL can't be fetched: {reason}.") from error

    async def _fetch(self, url: httpx.URL) -> bytes:
        transport = httpx.AsyncHTTPTransport() if self.allow_private_urls else PublicTransport()
        client = httpx.AsyncClient(
            transport=transport,
            timeout=FETCH_SECONDS / 2,
            event_hooks={"response": [_take_location]},
            trust_env=False,  # a proxy would resolve names itself, past the fence
            headers={"User-Agent": "bogv", "Accept": "image/*", "Accept-Encoding": "identity"},
        )
        async with client:
            for _ in range(1 + MAX_REDIRECTS):
                async with client.stream("GET", url) as response:
                    location = response.extensions.get("location")
                    if location is None or response.status_code not in REDIRECTS:
                        return await self._body(response)
                    url = _redirected(url, location)
        raise FetchFailed(f"The URL leads on and on: more than {MAX_REDIRECTS} redirects.")

    async def _body(self, response: httpx.Response) -> bytes:
        if response.status_code != 200:
            raise FetchFailed(f"The URL answered with status {response.status_code}.")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            _within(body, self.max_bytes)
        return bytes(body)


async def _take_location(response: httpx.Response) -> None:
    """So that httpx sees no redirect: it reads the body of each, be it without an end, and fails
    with errors of other libraries where the next URL is none, also of those it doesn't follow."""
    response.extensions["location"] = response.headers.pop("Location", None)


def _read_url(text: str) -> httpx.URL:
    """Raises InvalidUrl for what is none, has a port that is none, or a host that can't be asked
    for; httpx tells some of these only once it connects, by errors of other libraries."""
    text = text.strip()
    try:
        url = httpx.URL(text)
        is_name = not url.host or _is_host(url.raw_host.decode("ascii"))
    except (httpx.InvalidURL, UnicodeError) as error:
        raise InvalidUrl(f"The URL can't be read: {error}.") from error
    if not is_name:
        raise InvalidUrl("The URL can't be read: its host is no name that there can be.")
    port = _PORT.match(text)
    if port and port[1] and not (_DIGITS.fullmatch(port[1]) and 1 <= int(port[1]) <= 65535):
        raise InvalidUrl("The URL can't be read: its port is no number from 1 to 65535.")
    return url


def _is_host(host: str) -> bool:
    """Whether a resolver takes it: RFC 1035's lengths, and Punycode that is some. Raises
    UnicodeError for Punycode that is none."""
    labels = host.lower().removesuffix(".").split(".")
    coded = [each[4:].encode().decode("punycode") for each in labels if each.startswith("xn--")]
    fit = len(host) <= 253 and all(0 < len(label) < 64 for label in labels)
    return fit and not any(map(str.isascii, coded))


def _redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Raises InvalidUrl, FetchFailed for a scheme that is not fetched."""
    following = _read_url(location)
    if following.scheme not in {"", "http", "https"}:
        raise FetchFailed("The URL leads to one that is neither http nor https.")
    try:
        return url.join(following)
    except httpx.InvalidURL as error:
        raise InvalidUrl(f"The URL leads to one that can't be read: {error}.") from error


class PublicTransport(httpx.AsyncHTTPTransport):
    """Connects to public addresses alone: each request, each redirect, and the address checked.

    The name is resolved once and the connection goes to the very address that was checked, so a
    name that changes its mind in between changes nothing. `safehttpx`, which gradio brings, does
    the same, but drops the time-outs, lets 100.64.0.0/10 pass (some clouds' metadata service is
    there) and asks a public resolver about names that the local one doesn't know.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises UrlNotAllowed, httpx.ConnectError for an unknown host."""
        host = request.url.raw_host.decode("ascii")  # IDNA 2008; the resolver's own is of 2003
        address = await _public_address(host)
        # A request of its own: httpx reads the caller's again, to follow a relative redirect.
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await super().handle_async_request(pinned)


async def _public_address(host: str) -> str:
    """One address of the host, if all of them are public."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"the host {host!r} is unknown") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise UrlNotAllowed(f"The URL leads to {host!r}, which is not a public address.")
    return addresses[0]


_Bytes = TypeVar("_Bytes", bytes, bytearray)


def _within(data: _Bytes, max_bytes: int) -> _Bytes:
    if len(data) > max_bytes:
        raise TooLarge(f"The image is larger than the limit of {max_bytes:,} bytes.")
    return data
