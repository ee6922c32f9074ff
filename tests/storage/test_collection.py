"""What the stores of a gallery share: ids by range, and the order of their writes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from bogv.errors import DatabaseUnavailable
from bogv.service import ImageSearch
from bogv.storage import collection
from bogv.storage.milvus import MilvusStore
from tests.support.fakes import png


def test_a_range_with_more_ids_than_a_query_returns_is_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MilvusStore.lite(tmp_path, "x")
    store.copies.open()
    ids = [1, 2, 3, 70, 2**52, 2**53 - 1]
    store.copies.put(ids, np.zeros((6, 32), np.uint8), [0] * 6)
    monkeypatch.setattr(collection, "MAX_ROWS", 2)
    assert sorted(store.copies.get_ids_between(0, 2**53)) == ids
    store.close()


def test_a_hash_is_written_before_its_row_and_deleted_after_it(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = search.add(png(1)).id or 0
    calls: list[str] = []
    parts = {"row": search._store, "hash": search._store.copies, "file": search.thumbnails}
    for name, part in parts.items():
        for method in ("put", "write", "delete", "remove"):
            if hasattr(part, method):
                record = recorded(calls, f"{method} {name}", getattr(part, method))
                monkeypatch.setattr(part, method, record)
    search.add(png(2))
    search.delete_ids([there])
    assert calls == [
        *("write file", "put hash", "put row"),
        *("delete row", "delete hash", "remove file"),
    ]


def recorded(calls: list[str], call: str, method: object) -> object:
    def record(*args: object) -> object:
        calls.append(call)
        return method(*args)  # type: ignore[operator]

    return record


def test_a_delete_succeeds_once_the_row_is_deleted(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: list[int]) -> None:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    there = search.add(png(1)).id or 0
    with monkeypatch.context() as patched:
        patched.setattr(search._store.copies, "delete", fail)
        assert search.delete_ids([there]) == 1
    assert search.get([there]) == []
    while search.search(png(1)).copies:  # a server's search may see the row for some 100 ms
        time.sleep(0.05)
    search._store.copies.delete([there])
