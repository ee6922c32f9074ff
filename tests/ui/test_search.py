"""The Search tab: queries of each kind, the status line, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bogv.service import ImageSearch
from bogv.sources.samples import SAMPLE_QUERIES
from bogv.ui.components import cache_file
from bogv.ui.search import Query, SearchTab
from tests.support.fakes import png

pytestmark = pytest.mark.usefixtures("uploads")


@pytest.fixture
def ids(search: ImageSearch) -> Iterator[list[int]]:
    added = [search.add(png(seed), f"k{seed}").id or 0 for seed in range(3)]
    yield added
    search.delete_ids(added)


@pytest.fixture
def tab(build_tab: Callable[[Any], Any]) -> Any:
    return build_tab(SearchTab)


def uploaded(data: bytes) -> dict[str, Any]:
    return {"path": cache_file(data, "a.png"), "orig_name": "a.png"}


def test_an_uploaded_image_finds_itself(
    tab: Any, ids: list[int], request_in_english: gr.Request
) -> None:
    updates = tab.search_by_image(uploaded(png(1)), 2, 0.0, request_in_english)
    assert "Top 2 of 3 images" in updates[tab.status]
    assert "search" in updates[tab.status]
    [(best, score), _] = updates[tab.hits]
    assert best == ids[1]
    assert score == pytest.approx(1, abs=1e-3)


def test_a_removed_query_image_clears_the_results(tab: Any, request_in_english: gr.Request) -> None:
    updates = tab.search_by_image(None, 2, 0.0, request_in_english)
    assert updates[tab.query] is None
    assert updates[tab.hits] == []
    assert "Choose an image" in updates[tab.status]


def test_a_file_that_is_no_image_is_reported_as_such(
    tab: Any, ids: list[int], request_in_english: gr.Request
) -> None:
    updates = tab.search_by_image(uploaded(b"no image"), 2, 0.0, request_in_english)
    assert "not a readable image" in updates[tab.status]
    assert updates[tab.hits] == []
    assert updates[tab.query] is None


def test_a_file_that_was_not_uploaded_is_rejected(tab: Any, request_in_english: gr.Request) -> None:
    with pytest.raises(gr.Error, match="not allowed"):
        tab.search_by_image({"path": "/etc/passwd"}, 2, 0.0, request_in_english)


def test_a_high_minimum_score_says_how_to_see_more(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    search.delete_ids([ids[0]])
    updates = tab.search_by_record(ids[1], 5, 1.0, request_in_english)
    assert "No image scores 1.00 or more." in updates[tab.status]
    assert updates[tab.hits] == []


def test_an_empty_gallery_says_how_to_add_images(tab: Any, request_in_english: gr.Request) -> None:
    updates = tab.search_by_image(uploaded(png(1)), 5, 0.0, request_in_english)
    assert "The gallery is empty." in updates[tab.status]


def test_a_moved_slider_repeats_the_last_search(
    tab: Any, ids: list[int], request_in_english: gr.Request
) -> None:
    query = tab.search_by_record(ids[0], 1, 0.0, request_in_english)[tab.query]
    assert query == Query(record_id=ids[0])
    assert len(tab.search_again(query, 2, 0.0, request_in_english)[tab.hits]) == 2
    query = tab.search_by_image(uploaded(png(1)), 1, 0.0, request_in_english)[tab.query]
    assert len(tab.search_again(query, 3, 0.0, request_in_english)[tab.hits]) == 3
    assert tab.search_again(None, 3, 0.0, request_in_english) == {tab.query: None}


def test_a_search_with_a_deleted_image_keeps_its_query(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    search.delete_ids([ids[0]])
    updates = tab.search_by_record(ids[0], 5, 0.0, request_in_english)
    assert "not in the gallery" in updates[tab.status]
    assert updates[tab.query] == Query(record_id=ids[0])


def test_a_private_url_is_rejected(tab: Any, request_in_english: gr.Request) -> None:
    updates = tab.search_by_url("http://127.0.0.1/a.png", 5, 0.0, request_in_english)
    assert "private network" in updates[tab.status]
    assert updates[tab.image] is None


def test_a_clicked_example_is_searched_with(
    tab: Any,
    ids: list[int],
    tmp_path: Path,
    click: Callable[[int], gr.SelectData],
    request_in_english: gr.Request,
) -> None:
    (tmp_path / SAMPLE_QUERIES[1]).write_bytes(png(2))
    start = tab.show_start(request_in_english)
    assert len(start[tab.examples].value) == 1
    updates = tab.search_by_example(5, 0.0, click(0), request_in_english)
    assert updates[tab.hits][0][0] == ids[2]


def test_a_deleted_image_leaves_the_results(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    hits = [(ids[0], 1.0), (ids[1], 0.5)]
    updates = tab.delete(ids[0], hits, request_in_english)
    assert "1 image was deleted." in updates[tab.status]
    assert updates[tab.hits] == [(ids[1], 0.5)]
    assert search.stats().count == 2


def test_the_rarity_slider_is_there_once_pairs_were_compared(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    assert tab.show_start(request_in_english)[tab.min_rarity].visible is False
    added = [search.add(png(seed), f"k{seed}").id or 0 for seed in range(20, 40)]
    search.rarity.refresh()
    try:
        slider = tab.show_start(request_in_english)[tab.min_rarity]
        assert (slider.visible, slider.maximum) == (True, 2.4)  # 23 * 22 / 2 = 253 pairs
        found = tab.search_by_image(uploaded(png(1)), 9, 0.0, request_in_english, 2.4)
        assert [each[0] for each in found[tab.hits]] == [ids[1]]
        found = tab.search_again(found[tab.query], 9, 0.0, request_in_english, 0)
        assert len(found[tab.hits]) == 9
        found = tab.search_by_record(ids[1], 9, 0.0, request_in_english, 2.4)
        assert "as rare a match" in found[tab.status]
    finally:
        search.delete_ids(added)
        search.rarity.background = None
