"""Pages are whole and in order whatever the clocks said: of those who added, and of who lists."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bogv.errors import InvalidValue
from bogv.records import Cursor, Record
from bogv.service import ImageSearch
from bogv.storage import paging
from bogv.storage.milvus import MilvusStore
from bogv.storage.paging import Pager
from tests.support.fakes import lite_search, png
from tests.support.milvus_server import MilvusServer

NOW = int(time.time() * 1000)
DAY = 86_400_000  # ms
LAST = 2**63 - 1

Pages = Callable[..., list[Record]]


def record(record_id: int, added_at: int) -> Record:
    return Record(record_id, f"k{record_id}", "", "", 1, 1, 1, added_at)


def walked(newest: Pages, size: int) -> list[Record]:
    """All pages, one after the other."""
    seen: list[Record] = []
    cursor = None
    while page := newest(cursor, size):
        seen += page
        cursor = Cursor(page[-1].added_at, page[-1].id)
    return seen


def in_order(records: list[Record]) -> list[Record]:
    return sorted(records, key=lambda each: (-each.added_at, -each.id))


class Table:
    """Rows in memory, given out oldest first: the order that helps a listing the least."""

    def __init__(self, moments: list[int]) -> None:
        self.rows = [record(i + 1, moment) for i, moment in enumerate(moments)]
        self.asked = 0

    def query(self, where: str, limit: int, _: str) -> list[Record]:
        self.asked += 1
        code = re.sub(r"\b(added_at|id)\b", r"row.\1", where)
        found = [row for row in self.rows if eval(code, {"row": row})]  # noqa: S307
        return sorted(found, key=lambda row: row.added_at)[:limit]


moments = st.one_of(
    st.integers(0, LAST),
    st.integers(NOW - DAY, NOW + DAY),
    st.integers(NOW, NOW + 50),
    st.integers(NOW + 400 * DAY, NOW + 400 * DAY + 50),
    st.sampled_from([0, 1, NOW, NOW + DAY, LAST - 1, LAST]),
)


@example([NOW + 400 * DAY + i for i in range(60)], 3, LAST)
@example([LAST] * 20 + [0] * 20, 2, 0)
@given(st.lists(moments, max_size=60), st.integers(1, 10), moments)
def test_pages_are_complete_and_in_order_whatever_the_clocks(
    added: list[int], size: int, hint: int
) -> None:
    table = Table(added)
    pager = Pager(table.query)
    pager.note_added(hint)
    for _ in range(2):  # the second time with what the first has learned
        assert walked(pager.newest, size) == in_order(table.rows)


def test_many_rows_with_future_times_need_few_queries() -> None:
    table = Table([NOW + 3650 * DAY + 5 * i for i in range(3000)] + [NOW - i for i in range(3000)])
    pager = Pager(table.query)
    assert pager.newest(None, 25) == in_order(table.rows)[:25]
    assert table.asked < 60
    table.asked = 0
    assert pager.newest(None, 25) == in_order(table.rows)[:25]
    assert table.asked < 20


def test_deleted_rows_with_future_times_are_not_searched_for() -> None:
    table = Table([NOW + 3650 * DAY, *(NOW - i for i in range(100))])
    pager = Pager(table.query)
    pager.newest(None, 5)
    del table.rows[0]
    pager.newest(None, 5)
    table.asked = 0
    assert pager.newest(None, 5) == in_order(table.rows)[:5]
    assert table.asked < 10


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.server)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MilvusStore]:
    if request.param == "lite":
        opened = MilvusStore.lite(tmp_path / "lite", "images")
    else:
        server: MilvusServer = request.getfixturevalue("milvus_server")
        opened = MilvusStore.server(*server.address, f"images_{uuid4().hex}")
    opened.open("fake0000", 8)
    yield opened
    opened.drop()
    opened.close()


def put(store: MilvusStore, records: list[Record]) -> None:
    vectors = np.random.default_rng(0).random((len(records), 8), np.float32)
    store.put(records, vectors)


def test_rows_of_wrong_clocks_are_listed(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    spread = [0, NOW - DAY, NOW, NOW + 2 * DAY, NOW + 400 * DAY, 2**62, LAST]
    rows = [record(i + 1, moment) for i, moment in enumerate(spread)]
    rows += [record(100 + i, NOW + 400 * DAY + i // 3) for i in range(60)]
    put(store, rows)
    # A process that has just begun, one that wrote by a clock that was ahead, one whose own is.
    for latest, clock in ((0, NOW), (LAST, NOW), (NOW, NOW), (0, NOW + 4000 * DAY), (0, 0)):
        store._pager._latest = latest
        now = SimpleNamespace(time=lambda clock=clock: clock / 1000)  # the module's alone
        monkeypatch.setattr(paging, "time", now)
        assert [each.id for each in walked(store.newest, 7)] == [each.id for each in in_order(rows)]


def test_more_rows_of_one_millisecond_than_fit_a_page_are_all_listed(store: MilvusStore) -> None:
    put(store, [record(i + 1, NOW) for i in range(300)])
    assert [each.id for each in walked(store.newest, 3)] == list(range(300, 0, -1))


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path)
    yield service
    service.close()


@pytest.mark.parametrize("moment", [-1, 2**63, 10**30])
@pytest.mark.parametrize("number", [-1, 2**63, 10**30])
def test_an_invalid_cursor_is_rejected(search: ImageSearch, moment: int, number: int) -> None:
    search.add(png(1))
    for cursor in (Cursor(moment, 1), Cursor(NOW, number), Cursor(moment, number)):
        with pytest.raises(InvalidValue, match="cursor"):
            search.page(cursor)


@pytest.mark.parametrize("size", [1.5, 24.0, True, "24", None, 0, 1001])
def test_an_invalid_page_size_is_rejected(search: ImageSearch, size: Any) -> None:
    with pytest.raises(InvalidValue, match="limit"):
        search.page(size=size)
