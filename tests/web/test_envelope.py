"""Every response of the API is an envelope, whatever went wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from bogv.errors import DatabaseUnavailable
from bogv.service import ImageSearch
from tests.support.rest import BASE, fails, upload

pytestmark = pytest.mark.usefixtures("empty_gallery")


def test_many_mistakes_make_no_long_answer(client: TestClient) -> None:
    response = client.post(f"{BASE}/del/id", json={"id": ["x"] * 5_000})
    fails(response, "del", 422, "invalid-value")
    assert len(response.content) < 1000


def test_a_wrong_method_is_told_the_right_one(client: TestClient) -> None:
    assert client.get(f"{BASE}/add/file").headers["Allow"] == "POST"


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b"\xff\xfe", b""])
def test_a_body_that_is_no_json_is_told(client: TestClient, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{BASE}/add/url", content=content, headers=headers)
    fails(response, "add", 422, "invalid-value")


@pytest.mark.parametrize(
    ("method", "path", "kind", "status", "name"),
    [
        ("GET", f"{BASE}/add/file", "add", 405, "method-not-allowed"),
        ("DELETE", f"{BASE}/del/id", "del", 405, "method-not-allowed"),
        ("POST", f"{BASE}/search/nothing", "search", 404, "no-such-route"),
        ("GET", "/api/", "", 404, "no-such-route"),
        ("GET", "/api/health/", "health", 404, "no-such-route"),
        ("POST", f"{BASE}/add/file/", "add", 404, "no-such-route"),
        ("POST", "/api/nothing/here", "", 404, "no-such-route"),
        ("OPTIONS", f"{BASE}/add/file", "add", 405, "method-not-allowed"),
        ("TRACE", "/api/health", "health", 405, "method-not-allowed"),
        ("PROPFIND", "/api/docs", "", 405, "method-not-allowed"),
        ("GET", "/api/%zz%", "", 404, "no-such-route"),
        ("GET", "/api/%ff%00", "", 404, "no-such-route"),
        ("GET", "/api//health", "health", 404, "no-such-route"),
        ("GET", "/api/static-offline-docs/%00", "", 404, "no-such-route"),
        ("GET", "/api/static-offline-docs/%2e%2e/%2e%2e/bogv", "", 404, "no-such-route"),
        ("DELETE", "/api/static-offline-docs/x", "", 405, "method-not-allowed"),
    ],
)
def test_every_answer_under_api_is_an_envelope(
    client: TestClient, method: str, path: str, kind: str, status: int, name: str
) -> None:
    fails(client.request(method, path), kind, status, name)


def test_a_database_that_is_gone_is_503_and_told_by_health(
    client: TestClient, search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    monkeypatch.setattr(search._store, "search", gone)
    monkeypatch.setattr(search._store, "count", gone)
    response = client.post(f"{BASE}/search/file", files=upload())
    fails(response, "search", 503, "database-unavailable")
    assert int(response.headers["Retry-After"]) > 0
    health = client.get("/api/health")
    assert health.status_code == 503
    assert health.json()["error"]["type"] == "database-unavailable"


def test_an_unexpected_error_is_an_envelope_that_gives_nothing_away(
    client: TestClient, search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(search._store, "search", broken)
    response = client.post(f"{BASE}/search/file", files=upload())
    fails(response, "search", 500, "internal-error")
    assert "secret" not in response.text


def test_older_clients_may_ask_for_status_200_always(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with(http_status="200")
    response = client.post(f"{BASE}/search/file", files={"file": ("x", b"")})
    fails(response, "search", 200, "not-an-image")
    fails(client.get("/api/nothing"), "", 200, "no-such-route")
