from __future__ import annotations

import base64
import errno
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.config import Settings
from bogv.errors import DatabaseUnavailable
from bogv.records import md5_of
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.access import AccessControl
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png
from tests.support.web import reply, serving

BASE = "/api/image/sim"
MESSAGES = {"add": "存储图片", "search": "检索图片", "del": "删除图片"}
LIMIT = 100_000


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    folder = tmp_path_factory.mktemp("api")
    service = lite_search(folder, LIMIT)
    yield service
    service.close()


@pytest.fixture(autouse=True)
def _empty(search: ImageSearch) -> None:
    while records := search.page(size=1000).records:
        search.delete_ids([record.id for record in records])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cat.png").write_bytes(png(1))
    return tmp_path


@pytest.fixture
def client_with(search: ImageSearch, root: Path) -> Callable[..., TestClient]:
    def client(access: AccessControl | None = None, **settings: Any) -> TestClient:
        chosen = Settings(max_upload_mb=LIMIT / 1024 / 1024, **settings)
        app = FastAPI()
        sources = Sources([root], LIMIT, allow_private_urls=True)
        app.mount("/api", create_api(chosen, search, sources, access))
        return TestClient(app, raise_server_exceptions=False)

    return client


@pytest.fixture
def client(client_with: Callable[..., TestClient]) -> TestClient:
    return client_with()


def succeeds(response: Any, kind: str) -> Any:
    """The data of a success, whose envelope is as documented to the letter."""
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["msg", "code", "data"]
    assert (body["msg"], body["code"]) == (f"{MESSAGES[kind]}成功!", 200)
    return body["data"]


def fails(response: Any, kind: str, status: int, name: str) -> str:
    """The reason of a failure, whose envelope is as documented to the letter."""
    body = response.json()
    assert (response.status_code, body["error"]["type"]) == (status, name), body
    assert list(body) == ["msg", "code", "data", "error"]
    message = "服务异常!" if kind == "health" else f"{MESSAGES.get(kind, '请求')}失败!"
    assert (body["msg"], body["code"]) == (message, 500)
    assert body["data"] is None
    detail = body["error"]["detail"]
    assert detail.endswith(".")
    return str(detail)


def upload(seed: int = 1, name: str = "cat.png") -> dict[str, tuple[str, bytes]]:
    return {"file": (name, png(seed))}


@pytest.fixture
def image_url() -> Iterator[str]:
    with serving(lambda handler: reply(handler, png(1))) as base:
        yield f"{base}/cat.png"


def test_add_file(client: TestClient, search: ImageSearch) -> None:
    form = {"key": "k", "imgPath": "/p/cat.png"}
    assert succeeds(client.post(f"{BASE}/add/file", files=upload(), data=form), "add") is True
    [record] = search.page().records
    assert (record.key, record.filepath) == ("k", "/p/cat.png")


def test_add_file_with_nothing_but_the_file(client: TestClient, search: ImageSearch) -> None:
    empty = {"key": "", "imgPath": ""}
    for form in ({}, empty):
        assert succeeds(client.post(f"{BASE}/add/file", files=upload(), data=form), "add") is True
    [record] = search.page().records
    assert (record.key, record.filepath) == (md5_of(png(1)), "cat.png")


def test_add_url(client: TestClient, search: ImageSearch, image_url: str) -> None:
    body = {"url": image_url, "key": None, "imgPath": None}
    assert succeeds(client.post(f"{BASE}/add/url", json=body), "add") is True
    assert search.page().records[0].filepath == image_url


def test_add_path(client: TestClient, search: ImageSearch, root: Path) -> None:
    body = {"path": str(root / "cat.png"), "key": "7"}
    assert succeeds(client.post(f"{BASE}/add/path", json=body), "add") is True
    record = search.page().records[0]
    assert (record.key, record.filepath) == ("7", str(root / "cat.png"))


def test_the_second_add_succeeds_and_changes_nothing_but_a_new_path(
    client: TestClient, search: ImageSearch
) -> None:
    for name, form, filepath in (
        ("a.png", {}, "a.png"),
        ("b.png", {}, "a.png"),
        ("c.png", {"imgPath": "/new"}, "/new"),
        ("d.png", {}, "/new"),
    ):
        response = client.post(f"{BASE}/add/file", files=upload(name=name), data=form)
        assert succeeds(response, "add") is True
        assert [record.filepath for record in search.page().records] == [filepath]


@pytest.fixture
def searches(client: TestClient, root: Path, image_url: str) -> dict[str, Callable[..., Any]]:
    """The four ways to search with picture 1."""
    text = base64.b64encode(png(1)).decode()

    def by_json(route: str, **body: str) -> Callable[..., Any]:
        return lambda **more: client.post(f"{BASE}/search/{route}", json={**body, **more})

    return {
        "file": lambda **form: client.post(f"{BASE}/search/file", files=upload(), data=form),
        "url": by_json("url", url=image_url),
        "path": by_json("path", path=str(root / "cat.png")),
        "base64": by_json("base64", base64=text),
        "base64 with a prefix": by_json("base64", base64=f"data:image/png;base64,{text}"),
    }


def test_every_search_finds_the_image_first(
    searches: dict[str, Callable[..., Any]], search: ImageSearch
) -> None:
    for seed in range(12):
        search.add(png(seed), f"k{seed}", f"/p/{seed}.png")
    for find in searches.values():
        hits = succeeds(find(), "search")
        assert len(hits) == 10
        assert list(hits[0])[:3] == ["key", "filepath", "id"]
        assert (hits[0]["key"], hits[0]["filepath"]) == ("k1", "/p/1.png")
        assert hits[0]["score"] == pytest.approx(1, abs=1e-4)
        assert hits[0]["id"] == search.get_by_keys(["k1"])[0].id
        scores = [hit["score"] for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert len(succeeds(find(limit=3), "search")) == 3
        assert len(succeeds(find(limit="1000"), "search")) == 12


def test_a_search_says_what_its_stages_took(client: TestClient) -> None:
    response = client.post(f"{BASE}/search/file", files=upload())
    succeeds(response, "search")
    stages = dict(part.split(";dur=") for part in response.headers["Server-Timing"].split(", "))
    assert list(stages) == ["decode", "embed", "search", "serialise"]
    assert all(float(milliseconds) >= 0 for milliseconds in stages.values())
    failed = client.post(f"{BASE}/search/file", files={"file": ("x", b"no image")})
    assert "Server-Timing" not in failed.headers


def test_a_search_of_an_empty_gallery_gives_no_hits(
    searches: dict[str, Callable[..., Any]],
) -> None:
    for find in searches.values():
        assert succeeds(find(), "search") == []


NO_INTEGERS = [True, False, "", "1.0", "1000.0", "1_0", "１０", "٣", "0x5", "1e1", "null", "true"]


@pytest.mark.parametrize("limit", [0, -1, 1001, "many", 1.5, "9" * 5000, *NO_INTEGERS])
def test_a_limit_out_of_range_is_a_422_envelope(
    searches: dict[str, Callable[..., Any]], limit: Any
) -> None:
    for find in searches.values():
        assert "limit" in fails(find(limit=limit), "search", 422, "invalid-value")


@pytest.mark.parametrize(
    "limit", ["null", "1.0", "1000.0", "1e3", "-0.0", "NaN", "Infinity", "[5]", "{}", "9" * 5000]
)
def test_nor_is_what_json_has_no_integer_for(client: TestClient, limit: str) -> None:
    image = base64.b64encode(png(1)).decode()
    content = f'{{"base64": "{image}", "limit": {limit}}}'.encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"{BASE}/search/base64", content=content, headers=headers)
    fails(answer, "search", 422, "invalid-value")


@pytest.mark.parametrize("bad", [True, 1.0, 1e15, "1_0", None, "1.0", [1], "x", 10**20])
def test_a_list_of_ids_is_of_integers(client: TestClient, search: ImageSearch, bad: Any) -> None:
    there = search.add(png(1)).id
    answer = client.post(f"{BASE}/del/id", json={"id": [there, bad]})
    if bad == 10**20:  # an integer, and nobody's id
        assert succeeds(answer, "del") == 1
        return
    detail = fails(answer, "del", 422, "invalid-value")
    assert "function" not in detail
    assert search.stats().count == 1


@pytest.mark.parametrize("name", ["", "; filename*=utf-8''"])
def test_a_file_without_a_name_is_told_or_taken(client: TestClient, name: str) -> None:
    head = f'--b\r\nContent-Disposition: form-data; name="file"{name}\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    body = head.encode() + png(1) + b"\r\n--b--\r\n"
    answer = client.post(f"{BASE}/add/file", content=body, headers=headers)
    if answer.status_code != 200:
        fails(answer, "add", 422, "invalid-value")


def test_an_upload_that_the_disk_does_not_take_is_503(
    client: TestClient, search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Any, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", full)
    for kind in ("add", "search"):
        answer = client.post(f"{BASE}/{kind}/file", files=upload())
        assert "No space" in fails(answer, kind, 503, "storage-unavailable")
    assert search.stats().count == 0


def test_delete_by_id(client: TestClient, search: ImageSearch) -> None:
    ids = [search.add(png(seed)).id for seed in range(4)]
    body = {"id": f"{ids[0]}, {ids[1]},12345,"}
    assert succeeds(client.post(f"{BASE}/del/id", json=body), "del") == 2
    assert succeeds(client.post(f"{BASE}/del/id", json={"id": ids[2]}), "del") == 1
    assert succeeds(client.post(f"{BASE}/del/id", json={"id": [ids[3]]}), "del") == 1
    fails(client.post(f"{BASE}/del/id", json=body), "del", 404, "not-found")


@pytest.mark.parametrize("bad", ["x", "1.5", "1_0", "１", "0x1", "1;2", "9" * 31, ",", ""])
def test_ids_that_are_no_integers_delete_nothing(
    client: TestClient, search: ImageSearch, bad: str
) -> None:
    there = search.add(png(1)).id
    body = {"id": f"{there},{bad}" if bad.strip(",") else bad}
    fails(client.post(f"{BASE}/del/id", json=body), "del", 422, "invalid-value")
    assert search.stats().count == 1


@pytest.mark.parametrize("ids", ["-1", "0", "9" * 30, "123"])
def test_integers_that_are_no_ids_are_not_found(client: TestClient, ids: str) -> None:
    fails(client.post(f"{BASE}/del/id", json={"id": ids}), "del", 404, "not-found")


def test_delete_by_key(client: TestClient, search: ImageSearch) -> None:
    for seed, key in enumerate(["a", "a", "b", "c,d"]):
        search.add(png(seed), key)
    assert succeeds(client.post(f"{BASE}/del/key", json={"key": "a,b,nobody"}), "del") == 3
    fails(client.post(f"{BASE}/del/key", json={"key": "c,d"}), "del", 404, "not-found")
    assert succeeds(client.post(f"{BASE}/del/key", json={"key": ["c,d"]}), "del") == 1


@pytest.mark.parametrize("keys", [",".join(map(str, range(10_001))), ["x"] * 10_001])
def test_too_many_keys_are_refused(client: TestClient, keys: Any) -> None:
    fails(client.post(f"{BASE}/del/key", json={"key": keys}), "del", 422, "invalid-value")


def test_many_mistakes_make_no_long_answer(client: TestClient) -> None:
    response = client.post(f"{BASE}/del/id", json={"id": ["x"] * 5_000})
    fails(response, "del", 422, "invalid-value")
    assert len(response.content) < 1000


def test_a_wrong_method_is_told_the_right_one(client: TestClient) -> None:
    assert client.get(f"{BASE}/add/file").headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("data", "status", "name"),
    [
        (b"", 415, "not-an-image"),
        (b"<html>", 415, "not-an-image"),
        (png(1)[:900], 422, "damaged-image"),
        (b"x" * (LIMIT + 1), 413, "too-large"),
        (b"x" * (3 * LIMIT), 413, "too-large"),
    ],
)
def test_a_bad_upload_is_told_and_leaves_nothing(
    client: TestClient, search: ImageSearch, data: bytes, status: int, name: str
) -> None:
    for kind in ("add", "search"):
        response = client.post(f"{BASE}/{kind}/file", files={"file": ("cat.png", data)})
        fails(response, kind, status, name)
    assert search.stats().count == 0


def test_a_body_without_a_declared_length_is_stopped_at_the_limit(client: TestClient) -> None:
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            sent.append(1)
            yield b"x" * LIMIT

    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    response = client.post(f"{BASE}/add/file", content=endless(), headers=kind)
    fails(response, "add", 413, "too-large")


@pytest.mark.parametrize(
    ("route", "body", "status", "name"),
    [
        ("add/url", {}, 422, "invalid-value"),
        ("add/url", {"url": 5.5, "key": []}, 422, "invalid-value"),
        ("add/url", {"url": "cat"}, 400, "invalid-url"),
        ("search/url", {"url": "http://nobody.invalid/"}, 502, "fetch-failed"),
        ("add/path", {"path": "/etc/passwd"}, 403, "path-not-allowed"),
        ("search/path", {"path": "cat.png"}, 403, "path-not-allowed"),
        ("search/base64", {"base64": "***"}, 400, "invalid-base64"),
        ("search/base64", {"base64": ""}, 415, "not-an-image"),
        ("add/path", {"path": "CAT", "key": "k" * 513}, 422, "invalid-value"),
        ("add/path", {"path": "CAT", "imgPath": "猫" * 683}, 422, "invalid-value"),
        ("add/path", {"path": "MISSING"}, 404, "file-not-found"),
        ("del/id", {}, 422, "invalid-value"),
        ("del/key", {"key": {}}, 422, "invalid-value"),
    ],
)
def test_a_bad_request_is_told(
    client: TestClient, root: Path, route: str, body: dict[str, Any], status: int, name: str
) -> None:
    paths = {"CAT": str(root / "cat.png"), "MISSING": str(root / "no.png")}
    if body.get("path") in paths:
        body = {**body, "path": paths[body["path"]]}
    response = client.post(f"{BASE}/{route}", json=body)
    fails(response, route.split("/", maxsplit=1)[0], status, name)


@pytest.mark.parametrize(
    ("route", "field", "status", "name"),
    [
        ("del/key", "key", 422, "invalid-value"),
        ("del/id", "id", 422, "invalid-value"),
        ("add/path", "path", 403, "path-not-allowed"),
        ("add/url", "url", 400, "invalid-url"),
        ("search/base64", "base64", 400, "invalid-base64"),
    ],
)
def test_half_a_character_is_refused(
    client: TestClient, route: str, field: str, status: int, name: str
) -> None:
    content = f'{{"{field}": "http://a/\\ud800"}}'.encode()
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{BASE}/{route}", content=content, headers=headers)
    fails(response, route.split("/", maxsplit=1)[0], status, name)


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


def test_health_tells_what_is_served(client: TestClient, search: ImageSearch) -> None:
    search.add(png(1))
    data = client.get("/api/health").json()["data"]
    assert (data["status"], data["count"], data["database"]) == ("ok", 1, "Milvus Lite")
    assert {"weights", "engine", "version", "fingerprint"} <= set(data)


@pytest.mark.parametrize("token", ["s3cret", "口令"])
def test_with_a_token_each_route_asks_for_it(
    client_with: Callable[..., TestClient], search: ImageSearch, token: str
) -> None:
    clock = count(step=10**6)  # at each look, whoever had to wait has waited
    client = client_with(AccessControl(token, clock=lambda: next(clock)))
    search.add(png(1), "k")
    routes = [path for path in client.get("/api/openapi.json").json()["paths"] if "sim" in path]
    assert len(routes) == 9
    for given in (b"", b"wrong", token.encode() + b"x"):
        for route in [*routes, "/nothing"]:
            kind = route.split("/")[3] if "sim" in route else ""
            answer = client.post(f"/api{route}", headers={b"token": given})
            fails(answer, kind, 401, "unauthorized")
            fails(client.post(f"/api{route}"), kind, 401, "unauthorized")
    assert search.stats().count == 1
    right = {b"token": token.encode()}
    body = {"key": "k"}
    assert succeeds(client.post(f"{BASE}/del/key", json=body, headers=right), "del") == 1
    assert client.get("/api/health").json()["data"] == {"status": "ok"}
    assert "count" in client.get("/api/health", headers=right).json()["data"]


def test_the_docs_work_offline_and_show_examples_for_every_route(client: TestClient) -> None:
    page = client.get("/api/docs").text
    assert "cdn" not in page
    assert client.get("/api/static-offline-docs/swagger-ui-bundle.js").status_code == 200
    for path, methods in client.get("/api/openapi.json").json()["paths"].items():
        for operation in methods.values():
            answers = operation["responses"]
            assert "example" in answers["200"]["content"]["application/json"], path
            if "sim" in path:
                assert {"400", "401", "404", "413", "422", "503"} <= set(answers)
                assert json.dumps(operation, ensure_ascii=False).count("失败!") >= 9
