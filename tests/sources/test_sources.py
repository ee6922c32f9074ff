"""What `Sources` adds to the modules that it is made of."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bogv.errors import BogvError
from bogv.sources.sources import Sources


def test_a_path_and_base64_of_the_same_image_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"cat")
    sources = Sources([tmp_path], 1000)
    assert sources.resolve(path) == path
    assert sources.from_path(str(path)) == b"cat"
    assert sources.from_base64(base64.b64encode(b"cat").decode()) == b"cat"


def test_each_failed_path_and_url_is_observed(tmp_path: Path) -> None:
    sources = Sources([tmp_path], 1000)
    observed: list[str] = []
    sources.observe = observed.append
    for read, name in [
        (sources.from_path, "/etc/passwd"),
        (sources.from_path, str(tmp_path / "none.jpg")),
        (sources.resolve, "/etc"),
        (sources.from_url, "ftp://example.com/cat.jpg"),
        (sources.from_url, "http://127.0.0.1:9/"),
        (sources.from_base64, "é"),  # is not: it leads nowhere
    ]:
        with pytest.raises(BogvError):
            read(name)
    assert observed == [
        "path-not-allowed",
        "file-not-found",
        "path-not-allowed",
        "invalid-url",
        "url-not-allowed",
    ]
