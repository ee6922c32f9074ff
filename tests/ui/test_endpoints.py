"""The demo's named endpoints: results, and validation of every argument."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bogv.errors import InvalidValue
from bogv.service import ImageSearch
from bogv.ui.endpoints import add_endpoints
from tests.support.demo import API, call, demo_client, upload
from tests.support.fakes import lite_search, png

INJECTION = "1] or id > 0 or id in [2"  # matches every id if it is inserted after `id in [`


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("endpoints"))
    for seed in range(3):
        service.add(png(seed), f"k{seed}")
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(search: ImageSearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One demo for the module: building its page takes half a second."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))  # restores what the demo overwrites
        with demo_client(search, folder) as demo:
            yield demo


@pytest.fixture
def file(client: TestClient) -> dict[str, Any]:
    [path] = client.post(f"{API}/upload", files={"files": ("cat.png", png(1))}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def assert_rejected(answer: Any, name: str) -> None:
    """The answer is an error that names the argument."""
    assert answer.startswith("invalid-value: ")
    assert name in answer


def test_the_named_endpoints_add_search_page_and_delete(
    client: TestClient, search: ImageSearch
) -> None:
    start = search.stats().count
    added = [
        call(client, "add", upload(client, png(seed), f"{seed}.png"), f"key-{seed}", "")
        for seed in (11, 12, 13)
    ]
    assert [each["status"] for each in added] == ["created"] * 3
    hits = call(client, "search", upload(client, png(12)), 2, 0.0, 1.0)
    assert [hits[0]["key"], hits[0]["filepath"]] == ["key-12", "12.png"]
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)
    first = call(client, "page", 2, "key-1", "")
    second = call(client, "page", 2, "key-1", first["next"])
    pages = [[record["key"] for record in page["records"]] for page in (first, second)]
    assert pages == [["key-13", "key-12"], ["key-11"]]
    assert second["next"] == ""
    assert call(client, "delete", [added[0]["id"]], ["key-12", "key-13"]) == 3
    assert search.stats().count == start


def test_check_tells_whether_the_gallery_has_the_picture(
    client: TestClient, search: ImageSearch
) -> None:
    found = call(client, "check", upload(client, png(1)), 2, True)
    there = search.get_by_keys(["k1"])[0].id
    assert (found["verdict"]["match"], found["verdict"]["id"]) == ("exact", there)
    assert [hit["match"] for hit in found["hits"]] == ["exact", "similar"]
    assert all(hit["inliers"] is not None for hit in found["hits"])
    found = call(client, "check", upload(client, png(77)), 2, False)
    assert (found["verdict"]["match"], found["verdict"]["id"]) == ("none", None)
    assert_rejected(call(client, "check", upload(client, png(1)), 2, "yes"), "verify")


def test_adding_a_copy_names_the_one_before(client: TestClient, search: ImageSearch) -> None:
    added = call(client, "add", upload(client, png(2)), "again", "")
    assert added["near_duplicate_of"]["key"] == "k2"
    assert added["near_duplicate_of"]["match"] == "exact"
    assert search.delete_ids([added["id"]]) == 1


def test_a_file_that_is_no_image_is_reported_as_such(client: TestClient) -> None:
    assert "not-an-image" in call(client, "search", upload(client, b"no image"), 10, 0.0, 1.0)


def test_values_out_of_range_are_rejected(client: TestClient) -> None:
    assert "invalid-value" in call(client, "search", upload(client, png(1)), 0, 0.0, 1.0)
    assert "invalid-value" in call(client, "page", 10, "", "nonsense")


def test_only_the_four_endpoints_are_documented(client: TestClient) -> None:
    info = client.get(f"{API}/info").json()
    assert set(info["named_endpoints"]) == {"/search", "/check", "/add", "/delete", "/page"}
    assert not info["unnamed_endpoints"]


def test_the_endpoints_can_only_be_added_inside_blocks(search: ImageSearch) -> None:
    with pytest.raises(Exception, match="Blocks context"):
        add_endpoints(search)


@pytest.mark.parametrize("limit", [1.5, 1.0, True, None, "5", "1_0", "", [1], {}, 1e300, 0, 1001])
def test_the_limit_must_be_an_integer(client: TestClient, file: Any, limit: Any) -> None:
    assert_rejected(call(client, "search", file, limit, 0.0, 1.0), "limit")


@pytest.mark.parametrize("score", ["x", "0.5", None, True, [], {}])
def test_the_minimum_score_must_be_a_number(client: TestClient, file: Any, score: Any) -> None:
    assert_rejected(call(client, "search", file, 3, score, 1.0), "min_score")


@pytest.mark.parametrize("rarity", ["x", "0.5", True, [], 0, 2])
def test_the_rarity_must_be_a_share(client: TestClient, file: Any, rarity: Any) -> None:
    assert_rejected(call(client, "search", file, 3, 0.0, rarity), "max_rarity")


@pytest.mark.parametrize("image", [None, "x", 5, True])
def test_the_image_must_be_a_file(client: TestClient, image: Any) -> None:
    assert_rejected(call(client, "search", image, 3, 0.0, 1.0), "image")


@pytest.mark.parametrize(("name", "index"), [("key", 1), ("filepath", 2)])
@pytest.mark.parametrize("value", [5, None, [], True, {}])
def test_key_and_path_must_be_strings(
    client: TestClient, file: Any, name: str, index: int, value: Any
) -> None:
    data = [file, "", ""]
    data[index] = value
    assert_rejected(call(client, "add", *data), name)


@pytest.mark.parametrize("size", [1.5, 24.0, True, None, "24", "", 0, 1001])
def test_the_page_size_must_be_an_integer(client: TestClient, size: Any) -> None:
    answer = call(client, "page", size, "", "")
    assert answer.startswith("invalid-value: ")


@pytest.mark.parametrize(
    "after",
    [
        f"{'9' * 30}-1",
        f"1-{'9' * 30}",
        f"{2**63}-1",
        f"1-{2**63}",
        f"{'1' * 5000}-1",
        "٣-٣",
        "²-1",
        "-1-1",
        "1-1-1",
        "x",
        " 1-1",
        "1 or 1 == 1-1",
        5,
        None,
        [],
    ],
)
def test_after_must_be_a_valid_cursor(client: TestClient, after: Any) -> None:
    answer = call(client, "page", 3, "", after)
    assert answer.startswith("invalid-value: ")
    assert "database" not in answer


def test_the_next_of_a_page_is_a_valid_cursor(client: TestClient) -> None:
    first = call(client, "page", 2, "", "")
    assert len(call(client, "page", 2, "", first["next"])["records"]) == 1
    assert call(client, "page", 2, "", f"{2**63 - 1}-{2**63 - 1}")["next"] == first["next"]


@pytest.mark.parametrize(
    "ids", [[INJECTION], ["1"], [1.5], [True], [None], [[1]], "12", 5, {"1": 1}, [1e300]]
)
def test_ids_must_be_integers_and_cannot_inject_a_filter(
    client: TestClient, search: ImageSearch, ids: Any
) -> None:
    assert_rejected(call(client, "delete", ids, None), "ids")
    if isinstance(ids, list) and not isinstance(ids[0], list):
        for method in (search.get, search.delete_ids):
            with pytest.raises(InvalidValue):
                method(ids)
        with pytest.raises(InvalidValue):
            search.similar(ids[0])
    assert search.stats().count == 3


@pytest.mark.parametrize("keys", [[1], [None], [True], "k1", 5, {"k1": 1}])
def test_keys_must_be_strings(client: TestClient, search: ImageSearch, keys: Any) -> None:
    assert_rejected(call(client, "delete", None, keys), "keys")
    assert search.stats().count == 3


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30])
def test_an_integer_that_cannot_be_an_id_deletes_nothing(client: TestClient, number: int) -> None:
    assert call(client, "delete", [number], None) == 0
