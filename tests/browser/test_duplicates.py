"""The Duplicates tab in chromium: scanned, marked different, previewed, deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pictures import EDITS, draw, photo
from tests.support.running import running

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos; of 0 two copies, of 1 one."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(4):
        (folder / f"{seed}.jpg").write_bytes(photo(seed))
    for name, seed in (("smaller", 0), ("recompressed", 0), ("smaller", 1)):
        (folder / f"{seed}-{name}.jpg").write_bytes(EDITS[name](draw(seed)))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("data"), BOGV_IMAGE_ROOTS=str(folder)) as server:
        yield server.url


def says(page: Any, elem_id: str, text: str) -> None:
    page.locator(f"#{elem_id}", has_text=text).wait_for()


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def test_a_visitor_finds_duplicates_and_deletes_what_is_previewed(
    url: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(url, locale="en-GB")
    open_tab(page, "Add")
    page.locator("#add-folder textarea, #add-folder input").first.fill(str(folder))
    page.click("#add-button")
    page.wait_for_selector("#image-count[data-count='7']")
    open_tab(page, "Duplicates")
    says(page, "duplicates-status", "Nothing is deleted until you confirm")
    page.click("#duplicates-scan")
    says(page, "duplicates-status", "2 groups of duplicates among 7 images")
    assert page.locator("#group-0 figure").count() == 3
    page.click("#group-different-1")
    says(page, "duplicates-status", "Remembered")
    page.click("#duplicates-scan")
    says(page, "duplicates-status", "1 group of duplicates among 7 images")
    page.click("#preview-all")
    says(page, "duplicates-summary", "2 images will be deleted.")
    assert page.locator("#duplicates-preview .caption-label").count() == 2
    page.click("#duplicates-delete")
    page.click("#duplicates-yes")
    says(page, "duplicates-status", "2 images were deleted.")
    page.wait_for_selector("#image-count[data-count='5']")
    assert not page.locator("#group-0").is_visible()


def test_on_a_phone_every_tab_is_there_and_groups_fit(
    url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(url, locale="en-GB", viewport=PHONE)
    tabs = ["Search", "Add", "Delete", "Gallery", "Duplicates"]
    page.wait_for_function(
        "count => document.querySelectorAll('[role=tab]').length === count", arg=len(tabs)
    )
    assert page.get_by_role("tab").all_inner_texts() == tabs
    open_tab(page, "Duplicates")
    page.click("#duplicates-scan")
    says(page, "duplicates-status", "among")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
