from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from bogv.files import atomic_write, download, file_digest
from tests.support.web import reply, serving

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


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_digest_equals_hashlibs(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(BODY)
    assert file_digest(path, algorithm) == hashlib.new(algorithm, BODY).hexdigest()
