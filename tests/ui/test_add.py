"""The Add tab: sources of images, the table of results, progress."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import ImageOps

from bogv.errors import NotAnImage
from bogv.records import Added, Match, NearDuplicate
from bogv.service import ImageSearch
from bogv.ui.add import AddTab, describe_progress
from bogv.ui.components import cache_file
from tests.support.fakes import encoded, png
from tests.support.pictures import scene

HOSTILE = "<img src=x onerror=alert(1)>\"'&"

pytestmark = pytest.mark.usefixtures("uploads")


def test_hostile_text_is_escaped_in_the_table_of_results(build_tab: Callable[[Any], Any]) -> None:
    tab = build_tab(AddTab)
    failed = Added("failed", HOSTILE, key=HOSTILE, error=NotAnImage(HOSTILE))
    html = tab.render_table([failed] * 300, "en")
    assert "<img" not in html
    assert html.count("<tr>") == 201
    assert "200 of 300" in html


def test_failed_images_come_first_in_the_table_of_results(build_tab: Callable[[Any], Any]) -> None:
    created = [Added("created", f"/{number}.png") for number in range(250)]
    html = build_tab(AddTab).render_table([*created, Added("failed", "/broken.png")], "en")
    assert html.index("/broken.png") < html.index("/0.png")
    assert "/249.png" not in html


def test_the_progress_names_the_slowest_stage() -> None:
    stage_seconds = {"decode": 1.0, "embed": 3.0, "write": 2.0}
    english = "Adding images: 12.3 per second; slowest stage: embedding"
    assert describe_progress(12.34, stage_seconds, "en") == english
    chinese = "正在添加图片：每秒 12.3 张；最慢的环节：提取特征"
    assert describe_progress(12.34, stage_seconds, "zh") == chinese


def add_folder(tab: Any, folder: Path, skip: bool, request: gr.Request) -> Any:
    return tab.add([], "", f" {folder} ", "", skip, request, lambda *_, **__: None)


def test_a_folder_is_added_and_kept_in_its_field_if_an_image_of_it_failed(
    build_tab: Callable[[Any], Any],
    search: ImageSearch,
    tmp_path: Path,
    request_in_english: gr.Request,
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(png(1))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    tab = build_tab(AddTab)
    updates = add_folder(tab, tmp_path / "photos", False, request_in_english)
    assert updates[tab.folder] == f" {tmp_path / 'photos'} "
    assert "not a readable image" in updates[tab.verdicts]
    assert search.stats().count == 1
    (tmp_path / "photos" / "broken.png").unlink()
    updates = add_folder(tab, tmp_path / "photos", False, request_in_english)
    assert updates[tab.folder] == ""


def test_files_urls_and_key_that_failed_stay_in_their_fields(
    build_tab: Callable[[Any], Any], search: ImageSearch, request_in_english: gr.Request
) -> None:
    tab = build_tab(AddTab)
    paths = [cache_file(data, f"{data[-3:].hex()}.png") for data in (png(7), b"none", b"no image")]
    files = [{"path": path, "orig_name": "a.png"} for path in paths]
    url = "http://127.0.0.1/a.png"
    form = [files, f" {url}\n\n", "", " mine ", False, request_in_english, lambda *_, **__: None]
    kept = tab.add(*form)
    assert (kept[tab.files], kept[tab.urls], kept[tab.key]) == (paths[1:], url, " mine ")
    cleared = tab.add(files[:1], "", *form[2:])
    assert (cleared[tab.files], cleared[tab.urls], cleared[tab.key]) == (None, "", "")
    search.delete_keys(["mine"])


def test_a_form_without_images_says_what_is_missing(
    build_tab: Callable[[Any], Any], tmp_path: Path, request_in_english: gr.Request
) -> None:
    tab = build_tab(AddTab)
    assert "nothing to add" in tab.add([], " \n", "", "", False, request_in_english)[tab.verdicts]
    updates = tab.add([], "", str(tmp_path), "", False, request_in_english)
    assert "contains no images" in updates[tab.verdicts]
    updates = tab.add([], "", f"{tmp_path}/missing", "", False, request_in_english)
    assert "does not exist" in updates[tab.verdicts]
    assert tab.folder not in updates


def test_copies_are_told_and_left_out_if_wanted(
    build_tab: Callable[[Any], Any],
    search: ImageSearch,
    tmp_path: Path,
    request_in_english: gr.Request,
) -> None:
    before = search.stats().count
    kept = search.add(encoded(scene(1)), HOSTILE).id or 0
    for name, turned in (("a", ImageOps.mirror(scene(1))), ("b", ImageOps.flip(scene(1)))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "copy.png").write_bytes(encoded(turned))
    tab = build_tab(AddTab)
    html = add_folder(tab, tmp_path / "a", True, request_in_english)[tab.verdicts]
    assert f"Left out: it looks like {escape(HOSTILE)} (Copy · mirrored)" in html
    assert "left out</span> 1" in html
    assert html.count("<img") == 1  # of the image in the gallery
    assert search.stats().count == before + 1
    html = add_folder(tab, tmp_path / "b", False, request_in_english)[tab.verdicts]
    assert f"It looks like {escape(HOSTILE)} (Copy · mirrored and turned)" in html
    assert "created</span> 1" in html
    search.delete_ids([kept, *(each.id for each in search.page().records)])


def test_copies_are_told_with_the_image_that_is_there(
    build_tab: Callable[[Any], Any], search: ImageSearch
) -> None:
    kept = search.add(png(2), HOSTILE).id or 0
    copy = NearDuplicate(kept, HOSTILE, Match("copy", 3, 2))
    created = Added("created", "a.png", kept, "a", near_duplicate_of=copy)
    skipped = Added("skipped", "b.png", None, "b", near_duplicate_of=copy)
    html = build_tab(AddTab).render_table([created, skipped], "en")
    assert f"It looks like {escape(HOSTILE)} (Copy · mirrored)" in html
    assert f"Left out: it looks like {escape(HOSTILE)} (Copy · mirrored)" in html
    assert "left out</span> 1" in html
    assert html.count("<img") == 2  # of the skipped one, the image that is there
    search.delete_ids([kept])
