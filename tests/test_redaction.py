"""The login of a URL is used, but never shown, logged or stored."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pymilvus import MilvusException

from bogv.config import Settings
from bogv.errors import DatabaseUnavailable, StorageUnavailable
from bogv.records import NewImage
from bogv.redaction import redact, split_login, strip_login
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails
from bogv.ui.demo import render_header
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png

SECRETS = ("s3cret", "s3%63ret", "somebody")
WITH_LOGIN = [
    "http://somebody:s3cret@host.example/a.png",
    "HTTPS://somebody:s3cret@host.example:8443/a.png?x=a@b",
    "  http://s3cret@host.example/",
    "http://:s3cret@host.example/",
    "http://somebody:s3%63ret%40@[::1]/a@b",
    "http://somebody:s3@cret:s3cret@host.example",
    "http://some body:s3cret\\@host.example/a",
    "http://somebody:s3cret@@host.example",
    "http://somebody:s3cret@猫.example/猫.png",
]


@pytest.mark.parametrize("url", WITH_LOGIN)
def test_only_the_login_is_removed_from_a_url(url: str) -> None:
    stripped = strip_login(url)
    assert not any(secret in stripped for secret in SECRETS)
    assert stripped.partition("://")[2].startswith(("host.example", "[::1]", "猫.example"))
    for end in ("/a.png", "?x=a@b", "/a@b", "猫.png"):
        assert stripped.endswith(end) == url.endswith(end)
    if " " not in url.strip():
        assert redact(f"It failed: {url}.") == f"It failed: {stripped}."


@pytest.mark.parametrize(
    "url",
    [
        "http://host.example/a@b",
        "https://host.example?to=a@b",
        "http://host.example#a@b",
        "/images/a@b.png",
        "a@b.png",
        "",
        "猫@b",
        "s3://bucket/a@b",
    ],
)
def test_text_without_a_login_is_unchanged(url: str) -> None:
    assert strip_login(url) == url
    assert redact(url) == url


def test_a_url_is_split_into_address_user_and_password() -> None:
    assert split_login("http://a:b%40c@host:1/db") == ("http://host:1/db", "a", "b@c")
    assert split_login("https://a%3Ab@[::1]:1") == ("https://[::1]:1", "a:b", "")
    assert split_login("http://host:1") == ("http://host:1", "", "")


# The database's address


class Client:
    """A fake of pymilvus' client that fails like it, with the URI in the error."""

    given: list[tuple[str, dict[str, Any]]]

    def __init__(self, uri: str, **options: Any) -> None:
        self.given.append((uri, options))
        self.uri = uri

    def has_collection(self, *_: Any, **__: Any) -> bool:
        raise MilvusException(message=f"Fail connecting to server on {self.uri}")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    Client.given = []
    monkeypatch.setattr("pymilvus.MilvusClient", Client)
    return Client.given


@pytest.mark.parametrize(
    ("host", "uri", "login"),
    [
        ("http://somebody:s3cret@db:1", "http://db:1", {"user": "somebody", "password": "s3cret"}),
        ("https://somebody:s3%63ret@db", "https://db", {"user": "somebody", "password": "s3cret"}),
        ("somebody:s3cret@db", "http://db:19530", {"user": "somebody", "password": "s3cret"}),
        ("http://s3cret@db:1/name", "http://db:1/name", {"token": "s3cret"}),
    ],
)
def test_the_databases_login_is_used_but_not_shown(
    given: list[tuple[str, dict[str, Any]]], host: str, uri: str, login: dict[str, str]
) -> None:
    store = MilvusStore.server(host, 19530, "images", user="", password="", token="")
    assert given[0][0] == uri
    assert login.items() <= given[0][1].items()
    assert store.database == f"Milvus server {uri}"
    with pytest.raises(DatabaseUnavailable) as caught:
        store.existing_fingerprint()
    kept = repr(vars(store)) + repr(vars(store.connection))
    shown = "".join(traceback.format_exception(caught.value)) + kept
    assert not any(secret in shown for secret in SECRETS)


def test_login_variables_override_the_login_in_the_address(
    given: list[tuple[str, dict[str, Any]]],
) -> None:
    MilvusStore.server("http://a:s3cret@db", 1, "images", user="", password="", token="t")
    assert given[0][1]["token"] == "t"
    assert "user" not in given[0][1] or not given[0][1]["user"]


@pytest.mark.parametrize(
    "host",
    [
        "http://somebody:s3cret/x@db:1",
        "http://somebody:1?s3cret@db",
        "http://somebody:1#s3cret@db",
        "http://somebody:1/s3cret@db",
        "http://db:s3cret",
        "http://[s3cret",
        "a:s3cret/b@db",
        "http://somebody:s3cret@db:99999",
    ],
)
def test_an_invalid_address_is_a_clear_error_that_does_not_show_it(
    given: list[tuple[str, dict[str, Any]]], host: str
) -> None:
    with pytest.raises(DatabaseUnavailable, match="MILVUS_HOST") as caught:
        MilvusStore.server(host, 19530, "images")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert not given


def test_an_error_of_the_thumbnail_storage_shows_no_login() -> None:
    with pytest.raises(StorageUnavailable) as caught:
        Thumbnails("unknown://somebody:s3cret@host/folder")
    assert "s3cret" not in str(caught.value)
    assert "host/folder" in str(caught.value)


# Where an image came from


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path / "gallery")
    yield service
    service.close()


class Fetching(Sources):
    """Returns an image for each URL without fetching it."""

    async def fetch(self, url: str) -> bytes:
        return png(len(url))


def test_the_login_of_an_image_url_is_not_stored_or_logged(
    search: ImageSearch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    app.mount("/api", create_api(Settings(), search, Fetching([tmp_path], 100_000)))
    client = TestClient(app)
    caplog.set_level(logging.DEBUG, "bogv")
    for url in WITH_LOGIN:
        answer = client.post("/api/image/sim/add/url", json={"url": url})
        assert answer.status_code == 200
        new = NewImage(lambda: png(1), key=f"many {url[-9:]}", origin=url)
        [added] = search.add_many([new], {})
        assert not any(secret in added.filepath for secret in SECRETS)
    stored = [record.filepath for record in search.page(None, 100).records]
    assert len(stored) > len(WITH_LOGIN)
    assert not any(secret in path for path in stored for secret in SECRETS)
    assert not any(secret in caplog.text for secret in SECRETS)


def test_the_demos_header_and_health_show_the_address_without_the_login(
    search: ImageSearch,
    given: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MilvusStore.server("http://somebody:s3cret@db:1", 1, "images")
    monkeypatch.setattr(search._store, "database", store.database)
    assert "http://db:1" in render_header(search, "en")
    assert "s3cret" not in render_header(search, "en")
    app = FastAPI()
    app.mount("/api", create_api(Settings(), search, Sources([], 1)))
    health = TestClient(app).get("/api/health").text
    assert "http://db:1" in health
    assert "s3cret" not in health
