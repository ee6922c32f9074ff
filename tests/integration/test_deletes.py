"""The counts of deletes if several servers share a gallery on one Milvus."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from bogv import service as module
from bogv.errors import StorageUnavailable
from bogv.records import NewImage, Record
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from tests.support.fakes import fake_search, lite_search, png
from tests.support.milvus_server import MilvusServer

IMAGES = 80
PATIENCE = 2.0  # s for another server to look up what this one is about to delete


@pytest.fixture
def servers(milvus_server: MilvusServer, tmp_path: Path) -> Iterator[list[ImageSearch]]:
    """Two servers with the same thumbnail folder."""
    name = f"images_{uuid4().hex}"
    opened = [
        fake_search(
            MilvusStore.server(*milvus_server.address, name),
            tmp_path,
            pending=tmp_path / f"notes{each}",
        )
        for each in range(2)
    ]
    yield opened
    opened[0]._store.drop()
    for each in opened:
        each.close()


Delete = Callable[[ImageSearch, list[int]], int]


def by_ids(search: ImageSearch, ids: list[int]) -> int:
    return search.delete_ids(ids)


def by_key(search: ImageSearch, _: list[int]) -> int:
    return search.delete_keys(["same"])


@pytest.mark.server
@pytest.mark.parametrize("delete", [by_ids, by_key])
def test_two_servers_count_each_image_once(
    servers: list[ImageSearch], monkeypatch: pytest.MonkeyPatch, delete: Delete
) -> None:
    """The first server delays its delete until the second has looked up the same rows, if the
    lock allows it."""
    images = [NewImage(partial(png, seed), key="same") for seed in range(IMAGES)]
    ids = [added.id or 0 for added in servers[0].add_many(images)]
    first, second = (server._store for server in servers)
    begun, looked = threading.Event(), threading.Event()
    deleting, getting, finding = first.delete, second.get, second.get_by_keys

    def delete_late(rows: Sequence[int]) -> None:
        begun.set()
        looked.wait(PATIENCE)
        deleting(rows)

    def get(rows: Sequence[int], latest: bool = True) -> list[Record]:
        found = getting(rows, latest)
        looked.set()
        return found

    def get_by_keys(keys: Sequence[str]) -> list[Record]:
        found = finding(keys)
        looked.set()
        return found

    monkeypatch.setattr(first, "delete", delete_late)
    monkeypatch.setattr(second, "get", get)
    monkeypatch.setattr(second, "get_by_keys", get_by_keys)
    with ThreadPoolExecutor(1) as thread:
        counted = thread.submit(delete, servers[0], ids)
        assert begun.wait(60)
        there = delete(servers[1], ids)
    assert (counted.result(), there) == (IMAGES, 0)
    assert servers[1].stats().count == 0


def test_a_delete_that_waits_too_long_for_another_server_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = lite_search(tmp_path)
    there = search.add(png(1)).id or 0
    monkeypatch.setattr(module, "WRITE_LOCK_SECONDS", 0.05)
    with Path(search.thumbnails._root, "deletes.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StorageUnavailable, match="try again"):
            search.delete_ids([there])
        search.add(png(2))  # meanwhile
    assert search.delete_ids([there]) == 1
    search.close()


def test_images_are_deleted_even_if_locks_are_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    search = lite_search(tmp_path)
    there = search.add(png(1)).id or 0
    monkeypatch.setattr(fcntl, "flock", unknown)
    assert search.delete_ids([there]) == 1
    monkeypatch.undo()
    search.close()
