"""What is sent to the demo's named endpoints: of the right kind, or refused by name."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gradio import route_utils
from gradio.utils import get_upload_folder

from bogv.errors import InvalidValue
from bogv.service import ImageSearch
from tests.support.demo import API, call, demo_client
from tests.support.fakes import lite_search, png

# gradio 6.31 counts its events with a pandas option that pandas 3 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")
EVERYTHING = "1] or id > 0 or id in [2"  # behind `id in [`
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("endpoints"))
    for seed in range(3):
        service.add(png(seed), f"k{seed}")
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(search: ImageSearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One demo for all: building its page takes half a second."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))  # the demo sets it: afterwards as before
        with demo_client(search, folder) as opened:
            yield opened


@pytest.fixture
def file(client: TestClient) -> dict[str, Any]:
    [path] = client.post(f"{API}/upload", files={"files": ("cat.png", png(1))}).json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def refused(answer: Any, name: str) -> None:
    assert answer.startswith("invalid-value: ")
    assert name in answer


@pytest.mark.parametrize("limit", [1.5, 1.0, True, None, "5", "1_0", "", [1], {}, 1e300, 0, 1001])
def test_a_limit_is_an_integer(client: TestClient, file: Any, limit: Any) -> None:
    refused(call(client, "search", file, limit, 0.0), "limit")


@pytest.mark.parametrize("score", ["x", "0.5", None, True, [], {}])
def test_a_least_score_is_a_number(client: TestClient, file: Any, score: Any) -> None:
    refused(call(client, "search", file, 3, score), "min_score")


@pytest.mark.parametrize("image", [None, "x", 5, True])
def test_an_image_is_a_file(client: TestClient, image: Any) -> None:
    refused(call(client, "search", image, 3, 0.0), "image")


@pytest.mark.parametrize(("name", "place"), [("key", 1), ("filepath", 2)])
@pytest.mark.parametrize("text", [5, None, [], True, {}])
def test_a_key_and_a_path_are_texts(
    client: TestClient, file: Any, name: str, place: int, text: Any
) -> None:
    data = [file, "", ""]
    data[place] = text
    refused(call(client, "add", *data), name)


@pytest.mark.parametrize("size", [1.5, 24.0, True, None, "24", "", 0, 1001])
def test_a_page_has_an_integer_of_images(client: TestClient, size: Any) -> None:
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
def test_a_page_comes_after_one_that_there_was(client: TestClient, after: Any) -> None:
    answer = call(client, "page", 3, "", after)
    assert answer.startswith("invalid-value: ")
    assert "database" not in answer


def test_what_a_page_gives_as_next_is_taken(client: TestClient) -> None:
    first = call(client, "page", 2, "", "")
    assert len(call(client, "page", 2, "", first["next"])["records"]) == 1
    assert call(client, "page", 2, "", f"{2**63 - 1}-{2**63 - 1}")["next"] == first["next"]


@pytest.mark.parametrize(
    "ids", [[EVERYTHING], ["1"], [1.5], [True], [None], [[1]], "12", 5, {"1": 1}, [1e300]]
)
def test_ids_are_integers_and_none_becomes_part_of_a_filter(
    client: TestClient, search: ImageSearch, ids: Any
) -> None:
    refused(call(client, "delete", ids, None), "ids")
    if isinstance(ids, list) and not isinstance(ids[0], list):
        for ask in (search.get, search.delete_ids):
            with pytest.raises(InvalidValue):
                ask(ids)
        with pytest.raises(InvalidValue):
            search.similar(ids[0])
    assert search.stats().count == 3


@pytest.mark.parametrize("keys", [[1], [None], [True], "k1", 5, {"k1": 1}])
def test_keys_are_texts(client: TestClient, search: ImageSearch, keys: Any) -> None:
    refused(call(client, "delete", None, keys), "keys")
    assert search.stats().count == 3


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30])
def test_an_integer_that_is_no_id_is_nobodys(client: TestClient, number: int) -> None:
    assert call(client, "delete", [number], None) == 0


# Uploads


def kept() -> list[Path]:
    """The files in gradio's upload folder."""
    folder = Path(get_upload_folder())
    assert folder.is_dir()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_upload_without_a_name_is_told(client: TestClient) -> None:
    before = kept()
    field = b'--b\r\nContent-Disposition: form-data; name="files"%s\r\n\r\nx\r\n'
    for body in (
        field % b"",
        field % b'; filename="a.png"' + field % b"",
        field % b'; filename=".."',
    ):
        answer = client.post(f"{API}/upload", content=body + b"--b--\r\n", headers=MULTIPART)
        assert (answer.status_code, "without a name" in answer.json()["detail"]) == (400, True)
    assert kept() == before


@pytest.mark.parametrize("stage", ["write", "mkdir"])
def test_an_upload_that_the_disk_does_not_take_is_told(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = kept()
    if stage == "write":
        monkeypatch.setattr(route_utils.GradioUploadFile, "write", full)
    else:
        monkeypatch.setattr(Path, "mkdir", full)
    answer = client.post(f"{API}/upload", files={"files": ("a.png", png(1))})
    monkeypatch.undo()
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The files can't be kept: No space left on device."
    assert kept() == before
