"""The Duplicates tab: what is shown, kept, different, and exactly the previewed deletes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bogv.duplicates.duplicates import DuplicateKind, Group, Scan
from bogv.errors import NotFound
from bogv.records import Record
from bogv.service import ImageSearch
from bogv.ui.duplicates import tab as tab_module
from bogv.ui.duplicates.cards import MAX_IMAGES, render_group, render_result
from bogv.ui.duplicates.tab import DuplicatesTab, View
from tests.support.fakes import lite_search
from tests.support.pictures import EDITS, draw, photo

pytestmark = pytest.mark.usefixtures("uploads")


no_progress: Any = lambda *_, **__: None  # noqa: E731 - typed as what gradio injects


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    """Photos 0 to 2, of each a smaller copy that was added before it."""
    service = lite_search(tmp_path / "own", max_bytes=1_000_000)
    for seed in range(3):
        service.add(EDITS["smaller"](draw(seed)), f"small {seed}", "/small.jpg")
        service.add(photo(seed), f"<b>{seed}")
    yield service
    service.close()


@pytest.fixture
def tab(build_tab: Callable[[Any], Any], search: ImageSearch, tmp_path: Path) -> DuplicatesTab:
    finder = search.duplicates(tmp_path / "state")
    built: DuplicatesTab = build_tab(partial(DuplicatesTab, finder=finder))
    return built


@pytest.fixture
def scanned(tab: DuplicatesTab, request_in_english: gr.Request) -> Any:
    return tab.scan("copy", View(), request_in_english, no_progress)


def keys(search: ImageSearch) -> set[str]:
    return {record.key for record in search.page(None, 100).records}


def test_a_scan_shows_groups_with_what_differs(
    tab: DuplicatesTab, scanned: Any, request_in_english: gr.Request
) -> None:
    assert "<b>3 groups of duplicates</b> among 6 images" in scanned[tab.status]
    card = scanned[tab.slots[0].card]
    assert card.count("<figure") == 2
    assert card.index('class="bogv-kept"') < card.index('class="bogv-to_delete"')
    assert "&lt;b&gt;" in card
    assert "<b>0" not in card
    assert 'data-field="size" class=bogv-differs>160 × 160' in card
    assert scanned[tab.slots[2].column].visible
    assert not scanned[tab.slots[3].column].visible
    assert not tab.show_start(request_in_english)[tab.slots[0].column].visible


def test_exactly_the_previewed_images_are_deleted(
    tab: DuplicatesTab, scanned: Any, search: ImageSearch, request_in_english: gr.Request
) -> None:
    view = tab.choose(0, "oldest", scanned[tab.view], request_in_english)[tab.view]
    view = tab.choose(1, "all", view, request_in_english)[tab.view]
    preview = tab.preview_all(view, request_in_english)
    assert "2 images will be deleted." in preview[tab.summary]
    before = keys(search)
    removal = preview[tab.removal]
    expected = {record.key for record in search.get(removal.ids)}
    updates = tab.delete_previewed(removal, view, request_in_english)
    assert "2 images were deleted." in updates[tab.status]
    assert keys(search) == before - expected
    assert [key[:5] for key in expected].count("small") == 1
    assert len(updates[tab.view].groups) == 1
    assert updates[tab.removal].ids == ()
    nothing = tab.preview_all(updates[tab.view], request_in_english)
    assert "nothing to delete" in nothing[tab.summary]


def test_nothing_is_deleted_if_the_kept_image_is_gone(
    tab: DuplicatesTab, scanned: Any, search: ImageSearch, request_in_english: gr.Request
) -> None:
    view = scanned[tab.view]
    removal = tab.preview_all(view, request_in_english)[tab.removal]
    search.delete_ids(removal.kept[:1])
    left = keys(search)
    with pytest.raises(gr.Error, match="nothing was deleted") as raised:
        tab.delete_previewed(removal, view, request_in_english)
    assert isinstance(raised.value.__cause__, NotFound)
    assert keys(search) == left


def test_a_choice_or_another_page_discards_the_preview(
    tab: DuplicatesTab,
    scanned: Any,
    request_in_english: gr.Request,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tab_module, "PAGE", 2)
    view = scanned[tab.view]
    assert len(tab.preview_page(view, request_in_english)[tab.removal].ids) == 2
    for updates in (
        tab.choose(0, "all", view, request_in_english),
        tab.choose_rule("oldest", view, request_in_english),
        tab.show_next(view, request_in_english),
    ):
        assert updates[tab.removal].ids == ()
        assert not updates[tab.preview].visible
    last = tab.show_next(view, request_in_english)
    assert (last[tab.view].page, "Page 2 of 2" in last[tab.status]) == (1, True)
    assert tab.show_next(last[tab.view], request_in_english)[tab.view].page == 1
    assert tab.show_previous(view, request_in_english)[tab.view].page == 0


def test_the_rule_holds_for_all_groups_until_one_has_its_own(
    tab: DuplicatesTab, scanned: Any, request_in_english: gr.Request
) -> None:
    view = tab.choose_rule("oldest", scanned[tab.view], request_in_english)[tab.view]
    assert [view.choice(group) for group in view.groups] == ["oldest"] * 3
    view = tab.choose(2, "largest", view, request_in_english)[tab.view]
    assert [view.choice(group) for group in view.groups] == ["oldest", "oldest", "largest"]


@pytest.mark.parametrize(("place", "choice"), [(0, "none"), (4, "largest")])
def test_an_unknown_choice_or_group_is_refused(
    tab: DuplicatesTab, scanned: Any, request_in_english: gr.Request, place: int, choice: Any
) -> None:
    with pytest.raises(gr.Error):
        tab.choose(place, choice, scanned[tab.view], request_in_english)
    if place:
        with pytest.raises(gr.Error):
            tab.mark_different(place, scanned[tab.view], request_in_english)


def test_different_images_are_not_shown_again(
    tab: DuplicatesTab, scanned: Any, request_in_english: gr.Request
) -> None:
    marked = scanned[tab.view].shown[0]
    updates = tab.mark_different(0, scanned[tab.view], request_in_english)
    assert "Remembered" in updates[tab.status]
    assert len(updates[tab.view].groups) == 2
    again = tab.scan("copy", View(), request_in_english, no_progress)
    assert marked not in again[tab.view].groups
    assert len(again[tab.view].groups) == 2


def test_a_cancelled_scan_says_so(tab: DuplicatesTab, request_in_english: gr.Request) -> None:
    cancel: Any = lambda *_, **__: tab.finder.cancel()  # noqa: E731
    updates = tab.scan("copy", View(), request_in_english, cancel)
    assert "The scan was cancelled" in updates[tab.status]


def test_of_a_long_path_the_end_is_shown() -> None:
    path = f"/{'a folder/' * 20}photo.jpg"
    images = tuple(Record(i, "", path, "", 1, 1, 1, 1) for i in (1, 2))
    html = render_group(Group("copy", images), "largest", lambda _: b"", "en")
    assert f'title="{path}"' in html
    assert f">…{path[-50:]}</dd>" in html


def test_of_a_large_group_the_first_are_shown_and_in_chinese() -> None:
    one = Record(1, "k", "", "", 10, 10, 5, 0)
    group = Group("exact", tuple(replace(one, id=i) for i in range(1, MAX_IMAGES + 5)))
    html = render_group(group, "all", lambda _: b"", "zh")
    assert html.count("<figure") == html.count("bogv-kept") == MAX_IMAGES
    assert "文件完全相同" in html
    assert "可节省" not in html


def test_parts_come_with_a_warning() -> None:
    images = tuple(Record(i, "", "", "", 1, 1, 1, 1) for i in (1, 2))
    expected: dict[DuplicateKind, bool] = {"part": True, "copy": False}
    for match, warned in expected.items():
        scan = Scan("part", (Group(match, images),), 2, 0, is_complete=True, is_cut=False)
        assert ("look at them before you delete" in render_result(scan, "en")) == warned
