from __future__ import annotations

import base64

import pytest

from bogv.errors import InvalidBase64, TooLarge
from bogv.sources.data_urls import decode_base64

LIMIT = 1000

PREFIXES = [
    "",
    "\n ",
    "data:image/png;base64,",
    "data:;base64,",
    "data:image/png;",  # as the documented system has it
    "data:image/png;,",
    "data:image/png,",
    " DATA:image/svg+xml;charset=utf-8;base64,",
    "data:image/png;name=cat.png;base64;",
    "data:image/jpeg; ",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", bytes(range(256))])
def test_base64_is_decoded(prefix: str, data: bytes) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        assert decode_base64(prefix + encode(data).decode(), LIMIT) == data
    assert decode_base64(prefix + base64.b64encode(data).decode().rstrip("="), LIMIT) == data


@pytest.mark.parametrize(
    "text",
    [
        "é",
        "a",
        "ab*c",
        "data:image/png;base64,!!!!",
        "data:YQ==",
        "data:image/png",
        "image/png;YQ==",
    ],
)
def test_invalid_base64_is_rejected(text: str) -> None:
    with pytest.raises(InvalidBase64):
        decode_base64(text, LIMIT)


def test_base64_over_the_limit_is_refused() -> None:
    for size in (LIMIT + 1, 100 * LIMIT):
        with pytest.raises(TooLarge):
            decode_base64(base64.b64encode(b"x" * size).decode(), LIMIT)
