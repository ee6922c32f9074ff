"""The demo as its users meet it: chromium, a real server, a gallery of sample images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from bogv.judgements import PoolFolder
from bogv.sources.samples import make_samples
from tests.support.judging import write_pool
from tests.support.running import running

pytestmark = pytest.mark.browser

PHOTOS = ("cat", "coffee", "pagoda", "rocket")  # 8 images each
TOKEN = "let me in"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 sample images, a broken one beside them, and one more to add later."""
    everything, folder = tmp_path_factory.mktemp("all"), tmp_path_factory.mktemp("photos")
    for path in make_samples(everything):
        if path.name.startswith(PHOTOS):
            shutil.copy(path, folder)
    (folder.parent / "broken.jpg").write_bytes(b"this is no image")
    shutil.copy(everything / "flower.jpg", folder.parent / "flower.jpg")
    return folder


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> PoolFolder:
    """Four results to judge, in the server's data folder."""
    data = tmp_path_factory.mktemp("server") / "data"
    return write_pool(data / "judge" / "mine", {"q1": ["a", "b", "c"], "q2": ["a"]})


@pytest.fixture(scope="module")
def url(folder: Path, pool: PoolFolder) -> Iterator[str]:
    data = pool.path.parents[1]
    with running(data, BOGV_IMAGE_ROOTS=str(folder), BOGV_JUDGE="1") as server:
        yield server.url


def tab(page: Any, place: int) -> None:
    page.get_by_role("tab").nth(place).click()


def field(page: Any, elem_id: str) -> Any:
    return page.locator(f"#{elem_id} input:not([type=file]), #{elem_id} textarea").first


def captions(page: Any, elem_id: str) -> list[str]:
    texts: list[str] = page.locator(f"#{elem_id} .caption-label").all_inner_texts()
    return texts


def says(page: Any, elem_id: str, text: str) -> None:
    page.locator(f"#{elem_id}", has_text=text).wait_for()


def counts(page: Any, count: int) -> None:
    page.wait_for_selector(f"#image-count[data-count='{count}']")


def search_with(page: Any, path: Path) -> None:
    page.set_input_files("#query-image input[type=file]", path)


def test_a_visitor_adds_searches_pages_filters_and_deletes(
    url: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(url, locale="en-GB")
    counts(page, 0)
    says(page, "search-status", "The gallery is empty")
    says(page, "bogv-header", "The network is untrained")
    _adds(page, folder)
    _searches(page, folder)
    _recognizes_a_part(page, folder)
    _pages_and_filters(page)
    _deletes(page)


def _adds(page: Any, folder: Path) -> None:
    tab(page, 1)
    field(page, "add-folder").fill(str(folder))
    page.click("#add-button")
    says(page, "add-summary", "created 32")
    counts(page, 32)
    files = [folder.parent / "flower.jpg", folder.parent / "broken.jpg", folder / "cat.jpg"]
    page.set_input_files("#add-files input[type=file]", files)
    page.locator("#add-files", has_text="broken").wait_for()
    field(page, "add-key").fill("<b>my</b> flower")
    page.click("#add-button")
    says(page, "add-summary", "created 2 failed 1")  # cat.jpg has another key now
    says(page, "verdicts", "This file is not a readable image")
    says(page, "verdicts", "<b>my</b> flower")
    counts(page, 34)
    field(page, "add-folder").fill("/etc")
    page.click("#add-button")
    says(page, "verdicts", "is not allowed")
    counts(page, 34)


def _searches(page: Any, folder: Path) -> None:
    tab(page, 0)
    search_with(page, folder / "rocket-rotated.jpg")
    says(page, "search-status", "Top 12 of 34 images")
    says(page, "search-status", "embed")
    page.locator("#search-results .thumbnail-lg").first.click()
    says(page, "search-card", "rocket-rotated.jpg")
    assert float(page.inner_text("#search-card [data-field=score]")) > 0.999
    page.click("#search-similar")
    page.wait_for_selector("#search-record", state="hidden")
    says(page, "search-status", "Top 12 of 34 images")
    page.locator("#search-results .thumbnail-lg").first.click()
    says(page, "search-card", "rocket")
    assert "rotated" not in page.inner_text("#search-card")
    least = page.locator("#least input[type=number]")
    least.fill("1")
    least.blur()
    page.locator("#search-status", has_text="Top 12").wait_for(state="hidden")
    says(page, "search-status", "Top ")  # and what is proven, whatever its score
    shown = captions(page, "search-results")
    assert all(text.startswith(("✓", "1.000")) for text in shown)
    least.fill("0")
    least.blur()
    says(page, "search-status", "Top 12 of 34 images")


def _recognizes_a_part(page: Any, folder: Path) -> None:
    with Image.open(folder / "cat.jpg") as cat:
        width, height = cat.size
        part = cat.crop((width // 5, height // 8, width * 4 // 5, height * 7 // 8))
    path = folder.parent / "part.png"
    ImageOps.mirror(part).save(path)
    search_with(page, path)
    says(page, "search-status", "verify")  # which the search before didn't tell
    says(page, "search-status", "A part of this picture is here")
    assert captions(page, "search-results")[0].startswith("✓ Part · ")
    page.locator("#search-results .thumbnail-lg").first.click()
    says(page, "search-why", "points agree")
    lines = page.locator("#search-why .bogv-line")
    assert lines.is_visible()
    page.get_by_label("Show the lines").uncheck()
    lines.wait_for(state="hidden")
    page.click("#search-close")


def _pages_and_filters(page: Any) -> None:
    tab(page, 3)
    says(page, "gallery-status", "Page 1: 24 of 34 images")
    assert captions(page, "gallery")[:2] == ["<b>my</b> flower"] * 2  # newest first, as text
    page.click("#page-next")
    says(page, "gallery-status", "Page 2: 10 of 34 images")
    page.click("#page-previous")
    says(page, "gallery-status", "Page 1: 24 of 34 images")
    page.click("#page-size input")
    page.get_by_role("option", name="12").click()
    says(page, "gallery-status", "Page 1: 12 of 34 images")
    field(page, "filter").fill("coffee")
    field(page, "filter").press("Enter")
    says(page, "gallery-status", "Page 1: 8 matching “coffee”; 34 images in total")


def _deletes(page: Any) -> None:
    page.locator("#gallery .thumbnail-lg").first.click()
    says(page, "gallery-card", "coffee")
    page.click("#gallery-delete")
    page.click("#gallery-no")
    counts(page, 34)
    page.click("#gallery-delete")
    page.click("#gallery-yes")
    says(page, "gallery-status", "1 image was deleted")
    counts(page, 33)
    page.locator("#several input").check()
    for place, selected in ((0, 1), (1, 2), (2, 3), (1, 2)):
        page.locator("#gallery .thumbnail-lg").nth(place).click()
        says(page, "delete-selected", f"({selected})")
    page.click("#delete-selected")
    says(page, "delete-status", "2 images will be deleted")
    page.click("#delete-button")
    page.click("#delete-yes")
    says(page, "delete-status", "2 images were deleted")
    counts(page, 31)
    field(page, "delete-names").fill("<b>my</b> flower\nno such key")
    page.get_by_label("Keys", exact=True).check()
    page.click("#delete-show")
    says(page, "delete-status", "2 images will be deleted")
    says(page, "delete-status", "Not in the gallery: no such key")
    page.click("#delete-button")
    page.click("#delete-yes")
    says(page, "delete-status", "2 images were deleted")
    counts(page, 29)
    tab(page, 3)
    says(page, "gallery-status", "5 matching “coffee”; 29 images in total")


def test_a_change_of_the_input_that_is_answered_late_does_not_hide_the_preview(
    url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(url)
    tab(page, 2)
    says(page, "delete-status", "Enter")
    held: list[Any] = []

    def hold_the_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/queue/join*", hold_the_first)
    field(page, "delete-names").fill("123456")
    page.get_by_label("Keys", exact=True).check()
    page.click("#delete-show")
    says(page, "delete-status", "Not in the gallery: 123456")
    with page.expect_response("**/queue/join*"):
        held[0].continue_()
    page.wait_for_timeout(500)
    says(page, "delete-status", "Not in the gallery: 123456")


def test_a_broken_file_gets_plain_words(
    url: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(url)
    page.wait_for_selector("#search-status .bogv-note")
    search_with(page, folder.parent / "broken.jpg")
    says(page, "search-status", "This file is not a readable image")


def test_chinese_is_shown_to_a_chinese_browser_on_a_phone(
    url: str, folder: Path, open_page: Callable[..., Any]
) -> None:
    page = open_page(url, locale="zh-CN", viewport={"width": 390, "height": 844})
    says(page, "bogv-header", "网络未经训练")
    assert page.get_by_role("tab").all_inner_texts() == [
        "搜索",
        "添加",
        "删除",
        "图库",
        "查重",
        "评判",
    ]
    search_with(page, folder.parent / "broken.jpg")
    says(page, "search-status", "该文件不是可读取的图片")
    for place in range(6):
        tab(page, place)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_results_are_judged_by_keys_and_it_goes_on_after_a_reload(
    url: str, pool: PoolFolder, open_page: Callable[..., Any]
) -> None:
    page = open_page(url, locale="en-GB")
    tab(page, 5)
    for done, key in enumerate(("1", "2", "x", "Control+3", "3")):
        place = min(done, 2)
        page.locator(f".bogv-judge[data-place='{place}'] img").first.wait_for()
        says(page, "judge-status", f"{place} of 4 judged.")
        page.keyboard.press(key)
    says(page, "judge-status", "3 of 4 judged.")
    assert pool.read_judgements() == {("q1", "a"): 2, ("q1", "b"): 1, ("q1", "c"): 0}
    page.keyboard.press("Backspace")
    says(page, "judge-status", "2 of 4 judged.")
    page.reload()
    tab(page, 5)
    page.locator(".bogv-judge[data-place='2']").wait_for()
    tab(page, 1)
    field(page, "add-key").press("1")  # typed, not judged
    tab(page, 5)
    says(page, "judge-status", "2 of 4 judged.")
    page.click("#judge-relevant")
    page.locator(".bogv-judge[data-place='3']").wait_for()
    page.keyboard.press("1")
    says(page, "judge-status", "4 of 4 judged.")
    assert page.locator(".bogv-judge").count() == 0
    assert pool.read_judgements() == {
        ("q1", "a"): 2,
        ("q1", "b"): 1,
        ("q1", "c"): 2,
        ("q2", "a"): 2,
    }


def test_a_script_that_gets_into_the_page_does_not_run(
    url: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(url)
    page.wait_for_selector("#search-status .bogv-note")
    page.evaluate(
        """() => {
            const inserted = document.createElement('div')
            inserted.innerHTML = '<img src="data:," onerror="window.ran = 1">'
            const script = document.createElement('script')
            script.textContent = 'window.ran = 2'
            const foreign = document.createElement('script')
            foreign.src = 'data:text/javascript,window.ran = 3'
            document.body.append(inserted, script, foreign)
        }"""
    )
    refused = [text for text in page.failures if "Content Security Policy" in text]
    while len(refused) < 3:
        page.wait_for_event("console")
        refused = [text for text in page.failures if "Content Security Policy" in text]
    assert page.evaluate("window.ran") is None
    page.failures.clear()


def test_the_docs_of_the_api_are_shown(url: str, open_page: Callable[..., Any]) -> None:
    page = open_page(f"{url}/api/docs")
    page.get_by_text("/image/sim/search/base64").wait_for()


def test_the_token_is_asked_for_first(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    with running(tmp_path / "data", TOKEN=TOKEN, BOGV_ROOT_PATH="/bogv") as server:
        page = open_page(f"{server.url}/bogv")  # as behind a proxy that leaves the path as it is
        user, password = page.locator("input").nth(0), page.locator("input[type=password]")
        user.fill("anyone")
        password.fill("a guess")
        page.get_by_role("button", name="Login").click()
        page.get_by_text("Incorrect").wait_for()
        assert page.locator("#query-image").count() == 0
        page.failures.clear()  # the browser itself notes the refusal
        user.fill("anyone")
        password.fill(TOKEN)
        page.get_by_role("button", name="Login").click()
        counts(page, 0)
        nothing = tmp_path / "nothing.jpg"
        nothing.write_bytes(b"no image")
        search_with(page, nothing)
        says(page, "search-status", "This file is not a readable image")
        page.close()  # before the server ends its streams, which the page would report
