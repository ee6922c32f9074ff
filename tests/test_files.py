from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from bogv.files import _accept, atomic_write, download, file_digest
from tests.support.web import hanging_names, reply, serving

BODY = b"a file " * 400_000  # more than one block


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.bin"
    with atomic_write(target) as partial:
        partial.write_bytes(BODY)
        assert partial.name == target.name
        assert not target.exists()
    assert target.read_bytes() == BODY
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_unchanged(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fail_halfway() -> None:
        with atomic_write(target) as partial:
            partial.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_halfway()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_verified_download_is_stored_without_decompression(tmp_path: Path) -> None:
    target, verified = tmp_path / "new" / "a.tar.gz", []

    def answer(handler: Any) -> None:
        packed: Any = {"Content-Encoding": "gzip"}  # which it is not to be unpacked for
        reply(handler, BODY, **packed)

    def verify(partial: Path) -> None:
        assert not target.exists()
        verified.append(file_digest(partial))

    with serving(answer) as base:
        download(f"{base}/a", target, verify, label="a", progress=False)
    assert verified == [hashlib.sha256(BODY).hexdigest()]
    assert target.read_bytes() == BODY


def test_a_failed_or_rejected_download_leaves_no_file(tmp_path: Path) -> None:
    def refuse(partial: Path) -> None:
        raise ValueError(partial.name)

    target = tmp_path / "new" / "a.bin"
    with serving(lambda h: reply(h, b"", 404)) as base, pytest.raises(httpx.HTTPError):
        download(base, target, refuse, label="a", progress=False)
    assert not target.parent.exists()
    with serving(lambda h: reply(h, BODY)) as base, pytest.raises(ValueError, match=r"a\.bin"):
        download(base, target, refuse, label="a", progress=False)
    assert list(target.parent.iterdir()) == []


class Broken:
    """A server whose transfers break off after a third of what they should send."""

    def __init__(self, **headers: str) -> None:
        self.headers, self.bodies = headers, [BODY]
        self.ranges: list[str | None] = []

    def __call__(self, handler: Any) -> None:
        body = self.bodies.pop(0) if len(self.bodies) > 1 else self.bodies[0]
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        same = handler.headers.get("If-Range") in self.headers.values()
        at = int(asked[len("bytes=") : -1]) if asked and same and body is BODY else 0
        handler.send_response(206 if at else 200)
        if at:
            handler.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
        for name, value in {"Content-Length": str(len(body) - at), **self.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body[at : at + 1_000_000])


@pytest.mark.parametrize(
    "headers", [{"ETag": '"1"'}, {"Last-Modified": "Mon, 02 Mar 2026 10:00:00 GMT"}]
)
def test_an_interrupted_download_is_resumed_where_it_broke_off(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    server = Broken(**headers)
    with serving(server) as base:
        download(base, tmp_path / "a", lambda _: None, label="a", progress=False)
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.ranges == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_file_that_changed_meanwhile_is_downloaded_from_its_beginning(tmp_path: Path) -> None:
    server = Broken(ETag='"1"')
    server.bodies = [BODY, b"new" * 100]
    with serving(server) as base:
        download(base, tmp_path / "a", lambda _: None, label="a", progress=False)
    assert (tmp_path / "a").read_bytes() == b"new" * 100


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}])
def test_without_a_validator_an_interrupted_download_is_not_resumed(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    server = Broken(**headers)
    with serving(server) as base, pytest.raises(httpx.RemoteProtocolError):
        download(base, tmp_path / "a", lambda _: None, label="a", progress=False)
    assert server.ranges == [None]
    assert list(tmp_path.iterdir()) == []


def test_more_bytes_than_the_limit_are_refused(tmp_path: Path) -> None:
    with serving(lambda h: reply(h, BODY)) as base, pytest.raises(OSError, match="more than 1000"):
        download(base, tmp_path / "a", lambda _: None, label="a", limit=1000, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_name_whose_resolution_hangs_ends_at_the_time_limit(tmp_path: Path) -> None:
    """The time for connecting is for the resolution too, which has no limit of its own."""
    limits = httpx.Timeout(60, connect=0.05)
    with (
        hanging_names(),
        pytest.raises(httpx.ConnectTimeout, match=r"no connection within 0\.05 s"),
    ):
        download(
            "http://blackhole.example/a", tmp_path / "a", lambda _: None,
            label="a", timeout=limits, progress=False,
        )  # fmt: skip


def test_a_redirect_from_https_to_http_is_refused() -> None:
    """The certificate may be all that speaks for the bytes."""
    first = httpx.Response(302, request=httpx.Request("GET", "https://a.example/x"))
    last = httpx.Response(200, request=httpx.Request("GET", "http://a.example/x"), history=[first])
    with pytest.raises(httpx.UnsupportedProtocol, match="from https to http"):
        _accept(last)
    assert last.is_closed


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_digest_equals_hashlibs(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(BODY)
    assert file_digest(path, algorithm) == hashlib.new(algorithm, BODY).hexdigest()
