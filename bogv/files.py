"""Writing files atomically, downloading them, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any, BinaryIO

import httpx
from tqdm import tqdm

_BLOCK = 1 << 20  # bytes
_TIMEOUT = httpx.Timeout(60, connect=10)  # seconds without a byte
_MAX_RESUMES = 20  # of one download


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a temporary path, whose file replaces `target` if the block ends without an error.

    Other processes never see an incomplete file, and an error leaves none. The temporary file has
    the name of `target`, in a hidden folder beside it, which remains only if the process is killed.
    Creates parent folders. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
        partial = Path(folder, target.name)
        yield partial
        partial.replace(target)


def download(
    url: str,
    target: Path,
    verify: Callable[[Path], None],
    *,
    label: str,
    size: int | None = None,
    limit: int | None = None,
    timeout: httpx.Timeout = _TIMEOUT,
    progress: bool = True,
) -> None:
    """Download a file, with a progress bar; it becomes `target` only if `verify` raises nothing.

    An interrupted transfer is resumed where it broke off, if the server's validator says that the
    file is the same (RFC 9110, section 13.1.5). label: of the bar. size: in bytes; None: from
    Content-Length. limit: bytes at most. timeout: its `connect` holds for the name's resolution and
    all addresses together. Raises httpx.HTTPError, httpx.InvalidURL, OSError.
    """
    with httpx.Client(timeout=timeout, follow_redirects=True) as client:
        response = _open(client, url, {})
        total = size or int(response.headers.get("Content-Length", 0)) or None
        # The folder is created only now: Docker copies an image's files only into empty volumes.
        with closing(response), atomic_write(target) as partial:
            bar = tqdm(
                desc=label, total=total, unit="B", unit_scale=True, unit_divisor=1024,
                disable=not progress,
            )  # fmt: skip
            with partial.open("wb") as file, bar:
                _receive(client, response, file, bar, limit)
            verify(partial)


def _receive(
    client: httpx.Client, response: httpx.Response, file: BinaryIO, bar: Any, limit: int | None
) -> None:
    """Write the body, asking for the rest after each interruption that followed some progress."""
    url, validator = str((response.history or [response])[0].url), _validator(response)
    left = _MAX_RESUMES
    while not _write_body(response, file, bar, limit, validator is not None and left > 0):
        left -= 1
        wanted = {"Range": f"bytes={file.tell()}-", "If-Range": str(validator)}
        response = _open(client, url, wanted)
        if not response.headers.get("Content-Range", "").startswith(f"bytes {file.tell()}-"):
            file.seek(0)  # another file by now, or a server that can't resume: from the beginning
            file.truncate()
            validator = _validator(response)
            bar.reset()


def _write_body(
    response: httpx.Response, file: BinaryIO, bar: Any, limit: int | None, may_break: bool
) -> bool:
    """Append the body to the file. False: it broke off, and there was some progress."""
    before = file.tell()
    try:
        with closing(response):
            # Raw: some servers send a .tar.gz as gzip-encoded, and httpx would decompress it.
            for block in response.iter_raw():
                file.write(block)
                bar.update(len(block))
                if limit is not None and file.tell() > limit:
                    raise OSError(f"the server sends more than {limit} bytes")
    except httpx.TransportError:
        if not may_break or file.tell() == before:
            raise
        return False
    return True


def _validator(response: httpx.Response) -> str | None:
    """What If-Range takes: a strong ETag, or else the time of the last change."""
    etag: str | None = response.headers.get("ETag")
    date: str | None = response.headers.get("Last-Modified")
    return date if etag is None or etag.startswith("W/") else etag


def _open(client: httpx.Client, url: str, headers: dict[str, str]) -> httpx.Response:
    """The response to a GET, whose body is still to be read.

    In a thread, since httpx's own limit for connecting is for each of a name's addresses, and the
    name's resolution has none. Raises httpx.HTTPError, httpx.InvalidURL.
    """
    connected = Event()
    answer: Future[httpx.Response] = Future()

    def trace(event: str, _: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            connected.set()

    def send() -> None:
        try:
            # Without compression: the digest is of the stored file.
            every = {"Accept-Encoding": "identity", **headers}
            request = client.build_request("GET", url, headers=every, extensions={"trace": trace})
            answer.set_result(client.send(request, stream=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiting thread raises it
            answer.set_exception(error)

    Thread(target=send, daemon=True, name="download").start()
    seconds = client.timeout.connect
    if not wait({answer}, seconds).done and not connected.is_set():
        answer.add_done_callback(_close_late)
        raise httpx.ConnectTimeout(f"no connection within {seconds} s")
    return _accept(answer.result())


def _close_late(answer: Future[httpx.Response]) -> None:
    if answer.exception() is None:
        answer.result().close()


def _accept(response: httpx.Response) -> httpx.Response:
    """The response, unless it is an error, or https has led to a connection without encryption."""
    try:
        response.raise_for_status()
        first, *others = (each.url.scheme for each in (*response.history, response))
        if first == "https" and "http" in others:
            raise httpx.UnsupportedProtocol("it redirects from https to http")
    except httpx.HTTPError:
        response.close()
        raise
    return response


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file. algorithm: a name that hashlib knows. Raises OSError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
