"""Any text can be a key or a path: it goes in, is found, and is deleted alone, through each door.

On Milvus Lite, and with fewer examples on a real server.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bogv import __main__ as command_line
from bogv.config import Settings
from bogv.errors import InvalidValue
from bogv.records import NewImage
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.storage.milvus import FILEPATH_BYTES, KEY_BYTES, MilvusStore
from bogv.ui.delete import split_names
from bogv.web.api import create_api
from tests.support.fakes import fake_search, lite_search, png
from tests.support.milvus_server import MilvusServer

SIM = "/image/sim"
HOSTILE = [
    '" or 1==1 or key == "',
    '"] or id > 0 or key in ["',
    "' or ''=='",
    'x" || "" == "',
    'k\\" or true or key == \\"',
    '\\") or 1 == 1 //',
    "{key}",
    "%",
    "_",
    "like %",
    "key != ''",
    "\\",
    '\\"',
    "\\u0041",
    "\\x41",
    "\\n",
    "\n",
    "\r\n",
    "\t",
    "\0",
    "a\0b",
    "\x1b[31m",
    "\x7f",
    "\u0085\u2028\u2029\ufeff",
    "a,b",
    ",",
    ",,",
    " a ",
    "  ",
    "\u202eabc\u2066",
    "שלום",
    "猫🐱",
    "é",
    "e\u0301",
    "\U0010ffff",
    "true",
    "null",
    "1",
    "-x",
    "--key",
    "../../etc/passwd",
    "<script>",
    "k" * KEY_BYTES,
    "猫" * (KEY_BYTES // 3),
    "🐱" * (KEY_BYTES // 4),
]

_characters = st.characters(exclude_categories=["Cs"])  # lone surrogates are rejected


def fits(text: str) -> bool:
    return 0 < len(text.encode()) <= KEY_BYTES


keys = (
    st.text(_characters, min_size=1, max_size=KEY_BYTES)
    | st.lists(st.sampled_from([*HOSTILE[:40], *"\"'\\,;()[]{}", " or ", "key"]), min_size=1)
    .map("".join)
    .filter(bool)
).filter(fits)
some_keys = st.lists(keys, min_size=1, max_size=8, unique=True)


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("keys"))
    yield service
    service.close()


@pytest.fixture(scope="module")
def on_a_server(
    milvus_server: MilvusServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageSearch]:
    store = MilvusStore.server(*milvus_server.address, f"keys_{uuid4().hex}")
    service = fake_search(store, tmp_path_factory.mktemp("keys"))
    yield service
    store.drop()
    service.close()


def go_in_are_found_and_are_deleted_alone(search: ImageSearch, names: list[str]) -> None:
    """Each under its own bytes' picture, in one batch; the path is the key as well."""
    images = [NewImage(partial(png, i % 4), key, key) for i, key in enumerate(names)]
    assert [added.status for added in search.add_many(images)] == ["created"] * len(names)
    try:
        for key in names:
            assert [(each.key, each.filepath) for each in search.get_by_keys([key])] == [(key, key)]
        found = search.get_by_keys([*names, "nobody's"])
        assert {record.key for record in found} == set(names)
        assert search.delete_keys(names[:1]) == 1
        assert {record.key for record in search.page(size=1000).records} == set(names[1:])
    finally:
        search.delete_ids([record.id for record in search.page(size=1000).records])


@settings(max_examples=10)
@example(HOSTILE)
@given(some_keys)
def test_any_keys_can_be_added_found_and_deleted(search: ImageSearch, names: list[str]) -> None:
    go_in_are_found_and_are_deleted_alone(search, names)


@pytest.mark.server
@settings(max_examples=2)
@example([*HOSTILE[:6], "\0", "\n", "a,b", "שלום", "猫🐱", "k" * KEY_BYTES])
@given(some_keys)
def test_any_keys_can_be_added_found_and_deleted_on_a_server(
    on_a_server: ImageSearch, names: list[str]
) -> None:
    go_in_are_found_and_are_deleted_alone(on_a_server, names)


@settings(max_examples=30)
@given(keys.filter(lambda key: key not in {"one", "two"}))
def test_a_key_never_becomes_part_of_a_filter(search: ImageSearch, key: str) -> None:
    """What isn't there finds nothing and deletes nothing, whatever it says."""
    if search.stats().count == 0:
        search.add(png(1), "one")
        search.add(png(2), "two")
    assert search.get_by_keys([key]) == []
    assert search.get_by_keys([key, "one"])[0].key == "one"
    assert search.delete_keys([key]) == 0
    assert search.stats().count == 2


def test_keys_and_paths_that_are_too_long_are_rejected(search: ImageSearch) -> None:
    before = search.stats().count
    for character, size in (("k", 1), ("é", 2), ("猫", 3), ("🐱", 4)):
        long = character * (KEY_BYTES // size + 1)
        for call in (
            lambda: search.add(png(3), long),  # noqa: B023 - called at once
            lambda: search.get_by_keys([long]),  # noqa: B023
            lambda: search.delete_keys(["one", long]),  # noqa: B023
        ):
            with pytest.raises(InvalidValue, match="bytes of UTF-8"):
                call()
        with pytest.raises(InvalidValue, match="filepath"):
            search.add(png(3), "k", character * (FILEPATH_BYTES // size + 1))
    for half in ("\ud800", "a\udfffb"):
        with pytest.raises(InvalidValue, match="lone surrogate"):
            search.add(png(3), half)
        with pytest.raises(InvalidValue, match="lone surrogate"):
            search.add(png(3), "k", half)
    assert search.stats().count == before


# Through the doors


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Path]]:
    folder = tmp_path_factory.mktemp("keys-rest")
    for i in range(3):
        (folder / f"{i}.png").write_bytes(png(i))
    service = lite_search(folder / "data")
    app = FastAPI()
    sources = Sources([folder], 100_000)
    app.mount("/api", create_api(Settings(), service, sources))
    with TestClient(app, "http://testserver/api") as opened:
        yield opened, folder
    service.close()


def data_of(answer: Any) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


@settings(max_examples=10)
@example("a,b")
@example('" or 1==1 or key == "')
@example("\r\n--boundary\r\n")
@example("\0")
@given(keys)
def test_any_key_can_be_sent_to_rest_as_json_and_as_multipart(
    client: tuple[TestClient, Path], key: str
) -> None:
    api, folder = client
    form, file = {"key": key, "imgPath": key}, {"file": ("0.png", png(0))}
    assert data_of(api.post(f"{SIM}/add/file", data=form, files=file)) is True
    body = {"path": str(folder / "1.png"), "key": key, "imgPath": key}
    assert data_of(api.post(f"{SIM}/add/path", json=body)) is True
    other = {"path": str(folder / "2.png"), "key": f"{key[:100]}'s neighbour"}
    assert data_of(api.post(f"{SIM}/add/path", json=other)) is True
    hits = data_of(api.post(f"{SIM}/search/file", files=file))
    assert sorted((hit["key"], hit["filepath"]) for hit in hits) == sorted(
        [(key, key), (key, key), (other["key"], other["path"])]
    )
    assert data_of(api.post(f"{SIM}/del/key", json={"key": [key]})) == 2
    gone = api.post(f"{SIM}/del/key", json={"key": [key]})
    assert (gone.status_code, gone.json()["error"]["type"]) == (404, "not-found")
    assert data_of(api.post(f"{SIM}/del/key", json={"key": [other["key"]]})) == 1


def test_a_string_is_split_at_commas_and_a_list_is_not(
    client: tuple[TestClient, Path],
) -> None:
    api, folder = client
    for i, key in enumerate(["a", "b", "a,b"]):
        body = {"path": str(folder / f"{i}.png"), "key": key}
        assert data_of(api.post(f"{SIM}/add/path", json=body)) is True
    assert data_of(api.post(f"{SIM}/del/key", json={"key": ["a,b"]})) == 1
    assert data_of(api.post(f"{SIM}/del/key", json={"key": "a,b"})) == 2


def test_the_command_line_does_not_split_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = lite_search(tmp_path)
    monkeypatch.setattr(service, "close", lambda: None)
    monkeypatch.setattr(command_line, "open_search", lambda _: service)
    for i, key in enumerate(["a", "b", "a,b", "--key"]):
        service.add(png(i), key)
    for keys_given, deleted in ((["a,b"], 1), (["a,b"], 0), (["--key", "a"], 2)):
        arguments = [f"--key={key}" for key in keys_given]
        with pytest.raises(SystemExit) as ended:
            command_line.main(["delete", *arguments])
        assert ended.value.code == (0 if deleted else 1)
        assert capsys.readouterr().out == f"{deleted} deleted\n"
    assert [record.key for record in service.page().records] == ["b"]
    service._store.close()


@given(st.lists(keys.filter(lambda key: len(key) <= KEY_BYTES // 2), unique=True))
def test_any_quoted_key_can_be_entered_in_the_demo(names: list[str]) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    assert split_names(", ".join(quoted)) == names
    assert split_names("\r\n".join(quoted)) == names
