"""Values of requests: which are accepted, and which are rejected with which error."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bogv.service import ImageSearch
from tests.support.fakes import png
from tests.support.rest import BASE, fails, succeeds, upload

pytestmark = pytest.mark.usefixtures("empty_gallery")

NO_INTEGERS = [True, False, "", "1.0", "1000.0", "1_0", "１０", "٣", "0x5", "1e1", "null", "true"]


@pytest.mark.parametrize("limit", [0, -1, 1001, "many", 1.5, "9" * 5000, *NO_INTEGERS])
def test_a_limit_out_of_range_is_a_422_envelope(
    searches: dict[str, Callable[..., Any]], limit: Any
) -> None:
    for find in searches.values():
        assert "limit" in fails(find(limit=limit), "search", 422, "invalid-value")


@pytest.mark.parametrize("verify", ["", "1", "yes", "on", "True", "null"])
def test_verify_is_true_or_false(searches: dict[str, Callable[..., Any]], verify: str) -> None:
    for find in searches.values():
        assert "verify" in fails(find(verify=verify), "search", 422, "invalid-value")


@pytest.mark.parametrize(
    "limit", ["null", "1.0", "1000.0", "1e3", "-0.0", "NaN", "Infinity", "[5]", "{}", "9" * 5000]
)
def test_nor_is_what_json_has_no_integer_for(client: TestClient, limit: str) -> None:
    image = base64.b64encode(png(1)).decode()
    content = f'{{"base64": "{image}", "limit": {limit}}}'.encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"{BASE}/search/base64", content=content, headers=headers)
    fails(answer, "search", 422, "invalid-value")


@pytest.mark.parametrize("rarity", ["0", "-0.1", "1.5", "true", "NaN", '"x"', "[0.1]"])
def test_a_rarity_is_a_share(client: TestClient, rarity: str) -> None:
    image = base64.b64encode(png(1)).decode()
    content = f'{{"base64": "{image}", "max_rarity": {rarity}}}'.encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post(f"{BASE}/search/base64", content=content, headers=headers)
    assert "max_rarity" in fails(answer, "search", 422, "invalid-value")


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


@pytest.mark.parametrize("keys", [",".join(map(str, range(10_001))), ["x"] * 10_001])
def test_too_many_keys_are_refused(client: TestClient, keys: Any) -> None:
    fails(client.post(f"{BASE}/del/key", json={"key": keys}), "del", 422, "invalid-value")


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


def test_an_unknown_field_is_named_and_nothing_is_done(
    client: TestClient, search: ImageSearch, searches: dict[str, Callable[..., Any]]
) -> None:
    answers = [("search", find(limt=3)) for find in searches.values()]
    for files, data in ((upload(), {"limt": "3"}), ({**upload(), "limt": ("a", b"3")}, {})):
        answers += [("add", client.post(f"{BASE}/add/file", files=files, data=data))]
    for kind, answer in answers:
        detail = fails(answer, kind, 422, "invalid-value")
        assert detail == "limt: There is no such field."
    assert search.stats().count == 0
