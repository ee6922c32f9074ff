"""The Gallery tab: paging, the status line, clicks and the selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from bogv.service import ImageSearch
from bogv.ui.gallery import GalleryTab, Position
from tests.support.fakes import png

Click = Callable[[int], gr.SelectData]

pytestmark = pytest.mark.usefixtures("uploads")


@pytest.fixture
def ids(search: ImageSearch) -> Iterator[list[int]]:
    """Five images, newest first."""
    added = [search.add(png(seed), f"k{seed}").id or 0 for seed in range(5)]
    yield added[::-1]
    search.delete_ids(added)


@pytest.fixture
def tab(build_tab: Callable[[Any], Any]) -> Any:
    return build_tab(GalleryTab)


def test_pages_can_be_walked_to_the_end_and_back(
    tab: Any, ids: list[int], request_in_english: gr.Request
) -> None:
    updates = tab.show_first_page("", 2, [], request_in_english)
    pages = [updates[tab.position]]
    assert not updates[tab.newer_button].interactive
    for _ in range(3):  # once more than there are pages
        updates = tab.show_older_page(pages[-1], "", 2, [], request_in_english)
        pages.append(updates[tab.position])
    assert [page.ids for page in pages[:3]] == [tuple(ids[:2]), tuple(ids[2:4]), tuple(ids[4:])]
    assert pages[3].ids == pages[2].ids
    assert pages[2].next is None
    assert not updates[tab.older_button].interactive
    back = tab.show_newer_page(pages[2], "", 2, [], request_in_english)[tab.position]
    assert back == pages[1]
    assert tab.show_newer_page(pages[0], "", 2, [], request_in_english)[tab.position] == pages[0]


def test_a_page_whose_images_were_deleted_gives_way_to_the_one_before(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    first = tab.show_first_page("", 4, [], request_in_english)[tab.position]
    last = tab.show_older_page(first, "", 4, [], request_in_english)[tab.position]
    assert last.ids == (ids[4],)
    search.delete_ids([ids[4]])
    updates = tab.reload_page(last, "", 4, [], request_in_english)
    assert updates[tab.position].ids == first.ids
    assert "Page 1: 4 of 4 images" in updates[tab.status]


def test_the_status_counts_the_images_that_match_the_filter(
    tab: Any, ids: list[int], request_in_english: gr.Request
) -> None:
    def status(text: str) -> str:
        return str(tab.show_first_page(text, 24, [], request_in_english)[tab.status])

    assert "Page 1: 5 of 5 images" in status("")
    assert "Page 1: 1 matching “k3”; 5 images in total" in status(" k3 ")
    assert "No key or file name contains “&lt;b&gt;”." in status("<b>")


def test_the_status_of_an_empty_gallery_says_how_to_add_images(
    tab: Any, request_in_english: gr.Request
) -> None:
    updates = tab.show_first_page("", 24, [], request_in_english)
    assert "The gallery is empty." in updates[tab.status]


def test_a_click_shows_the_record_of_the_picture(
    tab: Any, ids: list[int], click: Click, request_in_english: gr.Request
) -> None:
    position = Position(ids=tuple(ids))
    updates = tab.handle_click(position, False, [], click(1), request_in_english)
    assert updates[tab.panel.id] == ids[1]
    assert "k3" in updates[tab.panel.card]


@pytest.mark.parametrize("index", [-1, 5])
def test_a_click_on_a_picture_that_is_not_on_the_page_hides_the_record(
    tab: Any, ids: list[int], click: Click, request_in_english: gr.Request, index: int
) -> None:
    with pytest.warns(UserWarning, match="no longer in the gallery"):
        updates = tab.handle_click(
            Position(ids=tuple(ids)), True, [], click(index), request_in_english
        )
    assert updates == {**tab.panel.hide(), **updates}
    assert tab.selected_ids not in updates
    assert updates[tab.panel.id] is None


def test_clicks_select_and_deselect_several_pictures(
    tab: Any, ids: list[int], click: Click, request_in_english: gr.Request
) -> None:
    position, selected = Position(ids=tuple(ids)), list[int]()
    for index, expected in ((0, [ids[0]]), (2, [ids[0], ids[2]]), (0, [ids[2]])):
        updates = tab.handle_click(position, True, selected, click(index), request_in_english)
        selected = updates[tab.selected_ids]
        assert selected == expected
    captions = [item["caption"] for item in updates[tab.gallery].value]
    assert captions == ["k4", "k3", "✓ k2", "k1", "k0"]
    assert updates[tab.delete_button].value == "Delete selected (1)"
    assert tab.deselect(position, selected, click(0), request_in_english)[tab.selected_ids] == []


def test_a_deleted_image_leaves_the_page_and_the_selection(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    position = Position(ids=tuple(ids))
    updates = tab.delete_one(ids[0], position, "", 24, ids[:2], request_in_english)
    assert "1 image was deleted." in updates[tab.status]
    assert updates[tab.selected_ids] == [ids[1]]
    assert updates[tab.position].ids == tuple(ids[1:])
    assert search.stats().count == 4
