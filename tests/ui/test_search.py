"""The Search tab: queries of each kind, the status line, errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import ImageOps

from bogv.calibration.background import summarise
from bogv.records import Hit, SearchResult
from bogv.service import ImageSearch
from bogv.sources.samples import SAMPLE_QUERIES
from bogv.ui.answers import Answer, Options, Query, format_score
from bogv.ui.components import cache_file
from bogv.ui.search import SearchTab
from tests.support.fakes import encoded, png
from tests.support.pictures import scene

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
    [best, _] = updates[tab.hits]
    assert best.record.id == ids[1]
    assert best.score == pytest.approx(1, abs=1e-3)


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
    assert len(tab.search_again(query, None, 2, 0.0, request_in_english)[tab.hits]) == 2
    query = tab.search_by_image(uploaded(png(1)), 1, 0.0, request_in_english)[tab.query]
    assert len(tab.search_again(query, None, 3, 0.0, request_in_english)[tab.hits]) == 3
    assert tab.search_again(None, None, 3, 0.0, request_in_english) == {tab.query: None}


def test_a_field_that_is_only_passed_searches_nothing(
    tab: Any, ids: list[int], request_in_english: gr.Request
) -> None:
    found = tab.search_by_record(ids[0], 1, 0.0, request_in_english)
    query, answer = found[tab.query], found[tab.answer]
    assert tab.search_again(query, answer, 1.0, 0, request_in_english) == {tab.query: query}
    assert len(tab.search_again(query, answer, 2, 0, request_in_english)[tab.hits]) == 2


@pytest.mark.parametrize(
    ("typed", "used", "sentence"),
    [
        (500, 100, "“Number of results” must be 1 to 100: 100 is used."),
        (-3.5, 1, "“Number of results” must be 1 to 100: 1 is used."),
        (None, 12, "“Number of results” was empty: 12 is used."),
        (math.nan, 12, "12 is used."),
    ],
)
def test_a_number_that_is_none_of_the_field_is_replaced_and_told(
    tab: Any, request_in_english: gr.Request, typed: Any, used: int, sentence: str
) -> None:
    with pytest.warns(UserWarning, match=sentence):
        updates = tab.search_again(None, None, typed, 0, request_in_english)
    assert updates == {tab.query: None, tab.limit: used}


def test_a_fraction_is_rounded_where_whole_numbers_are_asked_for(
    tab: Any, request_in_english: gr.Request
) -> None:
    updates = tab.search_again(None, None, 3.7, 0.25, request_in_english)
    assert updates == {tab.query: None, tab.limit: 4}


def test_a_score_that_is_shown_as_the_least_one_suffices() -> None:
    shown = Options.read(12, 1, 0)
    for score, found in ((0.99951, True), (0.99949, False)):
        assert (format_score(score) == "1.000") == found
        assert (score >= shown.lowest_score) == found
    assert Options.read(12, 0, 0).lowest_score == 0


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
    assert updates[tab.hits][0].record.id == ids[2]


def test_a_deleted_image_leaves_the_results(
    tab: Any, search: ImageSearch, ids: list[int], request_in_english: gr.Request
) -> None:
    first, second = (Hit(each, 0.5) for each in search.get(ids[:2]))
    answer = Answer(Query(record_id=ids[2]), Options(2, 0.0), SearchResult([first, second], {}))
    updates = tab.delete(ids[0], [first, second], answer, request_in_english)
    assert "1 image was deleted." in updates[tab.status]
    assert updates[tab.hits] == [second]
    assert updates[tab.answer] not in {None, answer}
    assert tab.verify(updates[tab.answer]) is None  # there is nothing to verify
    assert tab.search_again(answer.query, updates[tab.answer], 2, 0, request_in_english) == {
        tab.query: answer.query
    }
    assert search.stats().count == 2


def captions(updates: Any, tab: Any) -> list[str]:
    return [each["caption"] for each in updates[tab.gallery].value]


@pytest.fixture
def parts(search: ImageSearch) -> Iterator[list[int]]:
    """A picture with many details, and one of something else."""
    added = [search.add(encoded(each)).id or 0 for each in (scene(1), scene(2))]
    yield added
    search.delete_ids(added)


def test_the_badges_of_parts_come_in_after_the_first_answer(
    tab: Any, parts: list[int], request_in_english: gr.Request
) -> None:
    crop = encoded(ImageOps.mirror(scene(1).crop((60, 40, 280, 200))))
    first = tab.search_by_image(uploaded(crop), 2, 0.0, request_in_english)
    assert "Comparing it with the first 2 results" in first[tab.status]
    assert not [each for each in captions(first, tab) if each.startswith("✓")]
    verified = tab.verify(first[tab.answer])
    shown = tab.show_verified(first[tab.answer], verified, request_in_english)
    assert "A part of this picture is here" in shown[tab.status]
    assert "Top 2 of 2 images" in shown[tab.status]
    assert captions(shown, tab)[0].startswith("✓ Part · ")
    assert shown[tab.hits][0].record.id == parts[0]


def test_a_late_verification_does_not_overwrite_a_newer_search(
    tab: Any, parts: list[int], request_in_english: gr.Request
) -> None:
    old = tab.search_by_image(uploaded(encoded(scene(1))), 2, 0.0, request_in_english)
    verified = tab.verify(old[tab.answer])
    new = tab.search_by_image(uploaded(encoded(scene(2))), 2, 0.0, request_in_english)
    assert tab.show_verified(new[tab.answer], verified, request_in_english) == {}
    cleared = tab.search_by_image(None, 2, 0.0, request_in_english)
    assert cleared[tab.answer] is None
    assert tab.show_verified(None, verified, request_in_english) == {}


def test_a_verification_that_fails_says_so_and_keeps_the_results(
    tab: Any, parts: list[int], request_in_english: gr.Request
) -> None:
    first = tab.search_by_image(uploaded(encoded(scene(1))), 2, 0.0, request_in_english)
    first[tab.query].path.unlink()
    verified = tab.verify(first[tab.answer])
    shown = tab.show_verified(first[tab.answer], verified, request_in_english)
    assert "does not exist" in shown[tab.status]
    assert shown[tab.hits] == first[tab.hits]


def test_nothing_is_verified_without_an_answer(tab: Any) -> None:
    assert tab.verify(None) is None


def test_a_clicked_result_says_why_it_was_found(
    tab: Any,
    parts: list[int],
    click: Callable[[int], gr.SelectData],
    request_in_english: gr.Request,
) -> None:
    first = tab.search_by_image(uploaded(encoded(scene(3))), 2, 0.0, request_in_english)
    shown = tab.show_record(first[tab.query], first[tab.hits], click(0), request_in_english)
    assert shown[tab.panel.id] in parts
    assert "Show the heat map" in shown[tab.why]
    first[tab.query].path.unlink()
    shown = tab.show_record(first[tab.query], first[tab.hits], click(0), request_in_english)
    assert shown[tab.panel.id] in parts
    assert "does not exist" in shown[tab.why]


def test_a_result_of_a_gallery_image_is_explained_by_its_thumbnail(
    tab: Any,
    parts: list[int],
    click: Callable[[int], gr.SelectData],
    request_in_english: gr.Request,
) -> None:
    first = tab.search_by_record(parts[0], 2, 0.0, request_in_english)
    shown = tab.show_record(first[tab.query], first[tab.hits], click(0), request_in_english)
    assert "Show the heat map" in shown[tab.why]


def test_a_deleted_result_is_not_explained(
    tab: Any,
    search: ImageSearch,
    parts: list[int],
    click: Callable[[int], gr.SelectData],
    request_in_english: gr.Request,
) -> None:
    first = tab.search_by_image(uploaded(encoded(scene(1))), 2, 0.0, request_in_english)
    search.delete_ids(parts)
    with pytest.warns(UserWarning, match="no longer"):
        shown = tab.show_record(first[tab.query], first[tab.hits], click(0), request_in_english)
    assert shown[tab.why] == ""


def test_the_rarity_slider_is_there_once_pairs_were_compared(
    tab: Any,
    search: ImageSearch,
    ids: list[int],
    request_in_english: gr.Request,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tab.show_start(request_in_english)[tab.min_rarity].visible is False
    assert Options(9, 0.0, 3).max_rarity == pytest.approx(0.001)
    scores = np.linspace(0, 0.9999, 253, dtype=np.float32)
    monkeypatch.setattr(
        search.rarity, "background", summarise(scores, "fake0000", 23, complete=True)
    )
    slider = tab.show_start(request_in_english)[tab.min_rarity]
    assert (slider.visible, slider.maximum) == (True, 2.4)
    found = tab.search_by_image(uploaded(png(1)), 9, 0.0, request_in_english, 2.4)
    assert [hit.record.id for hit in found[tab.hits]] == [ids[1]]
    found = tab.search_again(found[tab.query], None, 9, 0.0, request_in_english, 0)
    assert len(found[tab.hits]) == 3
    found = tab.search_by_record(ids[1], 9, 0.0, request_in_english, 2.4)
    assert "as rare a match" in found[tab.status]
