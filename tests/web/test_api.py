"""The routes of the REST API: what a success does and returns."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bogv.records import md5_of
from bogv.service import ImageSearch
from bogv.web.access import AccessControl
from tests.support.fakes import png
from tests.support.rest import BASE, LIMIT, fails, succeeds, upload

pytestmark = pytest.mark.usefixtures("empty_gallery")


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


def test_a_search_by_rarity_finds_what_is_rare(client: TestClient, search: ImageSearch) -> None:
    for seed in range(20):
        search.add(png(seed), f"k{seed}")
    search.rarity.refresh()
    try:
        for rarity, expected in (("0.01", 1), ("1", 10)):
            form = {"max_rarity": rarity}
            answer = client.post(f"{BASE}/search/file", files=upload(), data=form)
            hits = succeeds(answer, "search")
            assert len(hits) == expected
            assert all(0 < hit["rarity"] <= float(rarity) for hit in hits)
        form = {"max_rarity": "0.000001"}
        answer = client.post(f"{BASE}/search/file", files=upload(), data=form)
        assert "190 pairs were compared" in fails(answer, "search", 422, "invalid-value")
    finally:
        search.rarity.background = None


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


def test_hits_tell_their_match_and_the_envelope_the_verdict(
    searches: dict[str, Callable[..., Any]], search: ImageSearch
) -> None:
    for seed in range(3):
        search.add(png(seed), f"k{seed}")
    for find in searches.values():
        body = find().json()
        hits, verdict = body["data"], body["verdict"]
        names = ("match", "distance", "inliers", "orientation")
        assert [hits[0][name] for name in names] == ["exact", 0, None, "upright"]
        assert {hit["match"] for hit in hits[1:]} == {"similar"}
        assert (verdict["match"], verdict["id"]) == ("exact", hits[0]["id"])
        assert 0 < verdict["false_positive_rate"] < 0.001
        assert verdict["complete"] is True


def test_verified_hits_tell_how_many_points_agree(
    searches: dict[str, Callable[..., Any]], search: ImageSearch
) -> None:
    search.add(png(1))
    for find in searches.values():
        for verify in (True, "true"):
            response = find(verify=verify)
            [hit] = succeeds(response, "search")
            assert hit["inliers"] >= 0
            assert "verify;dur=" in response.headers["Server-Timing"]
        [hit] = succeeds(find(verify="false"), "search")
        assert hit["inliers"] is None


def test_a_verdict_tells_that_hashes_are_incomplete(
    client: TestClient, search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search.backfill, "_missing", 1)
    body = client.post(f"{BASE}/search/file", files=upload()).json()
    assert body["verdict"]["match"] == "none"
    assert body["verdict"]["id"] is None
    assert body["verdict"]["complete"] is False


def test_an_add_names_the_copy_that_was_there_before(client: TestClient) -> None:
    bodies = [
        client.post(f"{BASE}/add/file", files=upload(), data={"key": key}).json() for key in "ab"
    ]
    assert [body["near_duplicate_of"] for body in bodies] == [
        None,
        {
            "id": bodies[0]["id"],
            "key": "a",
            "match": "exact",
            "distance": 0,
            "inliers": None,
            "orientation": "upright",
        },
    ]
    assert bodies[0]["id"] != bodies[1]["id"]


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


def test_delete_by_key(client: TestClient, search: ImageSearch) -> None:
    for seed, key in enumerate(["a", "a", "b", "c,d"]):
        search.add(png(seed), key)
    assert succeeds(client.post(f"{BASE}/del/key", json={"key": "a,b,nobody"}), "del") == 3
    fails(client.post(f"{BASE}/del/key", json={"key": "c,d"}), "del", 404, "not-found")
    assert succeeds(client.post(f"{BASE}/del/key", json={"key": ["c,d"]}), "del") == 1


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


def test_health_tells_what_is_served(client: TestClient, search: ImageSearch) -> None:
    search.add(png(1))
    data = client.get("/api/health").json()["data"]
    assert (data["status"], data["count"], data["database"]) == ("ok", 1, "Milvus Lite")
    assert {"weights", "engine", "version", "fingerprint"} <= set(data)


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
