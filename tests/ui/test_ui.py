"""The demo without a browser: named endpoints, words, escaping, names to delete."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi.testclient import TestClient

from bogv import errors
from bogv.errors import BogvError, DatabaseUnavailable, InvalidValue, NotAnImage
from bogv.logs import RequestFilter
from bogv.records import Added, Record
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.add import AddTab, pace
from bogv.ui.components import (
    Shared,
    cache_file,
    card,
    explain,
    format_size,
    report_errors,
    uploaded_file,
)
from bogv.ui.delete import ids_in, names_in
from bogv.ui.demo import SESSIONS, header_html, mount_demo
from bogv.ui.endpoints import add_endpoints
from bogv.ui.strings import (
    ERRORS,
    LOGIN_PROMPT,
    STRINGS,
    error_text,
    labels,
    language_of,
    translate,
    translate_count,
)
from bogv.web.access_log import HEADER, AccessLog
from tests.support.demo import API, call, demo_client, upload
from tests.support.fakes import lite_search, png

HOSTILE = "<img src=x onerror=alert(1)>\"'&"

# gradio 6.31 counts its events with a pandas option that pandas 3 is about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.usefixtures("uploads"),
]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    folder = tmp_path_factory.mktemp("ui")
    service = lite_search(folder)
    yield service
    service.close()


# The named endpoints


def test_the_named_endpoints_add_search_page_and_delete(
    client_with: Callable[..., TestClient], search: ImageSearch
) -> None:
    client = client_with()
    start = search.stats().count
    added = [
        call(client, "add", upload(client, png(seed), f"{seed}.png"), f"key-{seed}", "")
        for seed in (11, 12, 13)
    ]
    assert [each["status"] for each in added] == ["created"] * 3
    hits = call(client, "search", upload(client, png(12)), 2, 0.0)
    assert [hits[0]["key"], hits[0]["filepath"]] == ["key-12", "12.png"]
    assert hits[0]["score"] == pytest.approx(1, abs=1e-3)
    first = call(client, "page", 2, "key-1", "")
    second = call(client, "page", 2, "key-1", first["next"])
    pages = [[record["key"] for record in page["records"]] for page in (first, second)]
    assert pages == [["key-13", "key-12"], ["key-11"]]
    assert second["next"] == ""
    assert call(client, "delete", [added[0]["id"]], ["key-12", "key-13"]) == 3
    assert search.stats().count == start


def test_an_image_that_is_none_is_told_as_such(client_with: Callable[..., TestClient]) -> None:
    client = client_with()
    assert "not-an-image" in call(client, "search", upload(client, b"no image"), 10, 0.0)
    assert "invalid-value" in call(client, "search", upload(client, png(1)), 0, 0.0)
    assert "invalid-value" in call(client, "page", 10, "", "nonsense")


def test_gradio_remembers_a_bounded_number_of_visitors(search: ImageSearch, tmp_path: Path) -> None:
    app: Any = demo_client(search, tmp_path).app
    sessions = app.routes[-1].app.state_holder
    assert sessions.capacity == SESSIONS
    sessions.capacity = 2
    for number in range(5):
        sessions[str(number)]
    assert len(sessions.session_data) == 2


def test_only_the_four_endpoints_are_documented(client_with: Callable[..., TestClient]) -> None:
    info = client_with().get(f"{API}/info").json()
    assert set(info["named_endpoints"]) == {"/search", "/add", "/delete", "/page"}
    assert not info["unnamed_endpoints"]


# Words


def _types(root: type[BogvError]) -> set[str]:
    return {root.type}.union(*map(_types, root.__subclasses__()))


@pytest.mark.parametrize("word", [*STRINGS, *ERRORS])
def test_each_word_is_there_in_both_languages(word: str) -> None:
    english, chinese = STRINGS.get(word) or ERRORS[word]
    assert english.strip()
    assert not re.search("[一-鿿]", english)
    assert re.search("[一-鿿]", chinese) or word in {"id", "ids"}
    braces = [sorted(re.findall(r"{(\w+)}", text)) for text in (english, chinese)]
    assert braces[0] == braces[1]


def test_each_word_is_used() -> None:
    folder = Path(inspect.getfile(mount_demo)).parent
    code = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "words.py")
    made = {"weights_custom", "weights_untrained"} | {w for w in STRINGS if w[-2:] in {"_1", "_n"}}
    made |= {"score", "size", "added", "decode", "embed", "search"}
    used = set(re.findall(r"[\"'](\w+)[\"']", code))
    assert set(STRINGS) - used - made == set()


def test_plain_words_belong_to_errors_that_there_are() -> None:
    assert set(ERRORS) <= _types(errors.BogvError)


def test_labels_hold_nothing_that_the_browser_would_fill_in_or_render() -> None:
    for texts in labels().values():
        assert set(texts) == set(labels()["en"])
        assert not [text for text in texts.values() if re.search("[{}<]", text)]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-cn", "zh"),
        ("zh-TW,zh;q=0.9", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_browsers_first(header: str, language: str) -> None:
    assert language_of(header) == language


def test_one_image_is_not_one_images() -> None:
    assert translate_count("en", "images", 1) == "1 image"
    assert translate_count("en", "images", 1234) == "1,234 images"
    assert translate("zh", "deleted_1", count=1) == "已删除 1 张图片。"
    assert error_text("en", "no-such-type") is None
    assert "token" in LOGIN_PROMPT


# What users wrote is shown as they wrote it


def test_a_hostile_key_and_path_are_escaped_in_the_record() -> None:
    record = Record(1, HOSTILE, HOSTILE, "0" * 32, 10, 20, 512, 0)
    html = card(record, b"", 0.5, "en")
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;") == 3
    assert html.count("<img") == 1


def test_a_hostile_error_is_escaped() -> None:
    html = explain(NotAnImage(HOSTILE), "en")
    assert "<img" not in html
    assert html.startswith("This is no image")


def test_hostile_verdicts_are_escaped(search: ImageSearch, tmp_path: Path) -> None:
    async def build() -> AddTab:
        with gr.Blocks(analytics_enabled=False), gr.Tabs() as tabs, gr.Tab():
            return AddTab(Shared(search, Sources([], 1), tmp_path, tabs, gr.State(0)))

    tab = asyncio.run(build())
    failed = Added("failed", HOSTILE, key=HOSTILE, error=NotAnImage(HOSTILE))
    html = tab.table([failed] * 300, "en")
    assert "<img" not in html
    assert html.count("<tr>") == 201
    assert "200 of 300" in html


def test_the_header_counts_and_names(search: ImageSearch) -> None:
    html = header_html(search, "en")
    assert f'data-count="{search.stats().count}"' in html
    assert "custom" in html
    assert "learnt nothing" not in html


# Handlers


def test_an_error_made_for_users_reaches_them_in_plain_words() -> None:
    @report_errors
    def handler() -> None:
        raise InvalidValue("<b>")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert "&lt;b&gt;" in str(caught.value)


def test_an_unexpected_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    @report_errors
    def handler() -> None:
        raise RuntimeError("the inner workings")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert "inner workings" not in str(caught.value)
    assert "inner workings" in caplog.text


def test_what_an_event_logs_carries_the_id_of_the_request_that_asked_for_it(
    search: ImageSearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def gone(*_: object) -> None:
        logging.getLogger("bogv.test").warning("in an event")
        raise DatabaseUnavailable("Milvus doesn't answer.")

    monkeypatch.setattr(search, "page", gone)
    caplog.handler.addFilter(RequestFilter())
    with TestClient(AccessLog(demo_client(search, tmp_path).app)) as client:
        client.headers[HEADER] = "mine-1"
        call(client, "page", 4, "", "")
        del client.headers[HEADER]
        call(client, "page", 4, "", "")
    lines = [vars(each) for each in caplog.records if each.message == "in an event"]
    mine, made = (line["request_id"] for line in lines)
    assert mine == "mine-1"
    assert re.fullmatch(r"[0-9a-f]{16}", made)


def test_cached_bytes_are_kept_once_under_their_name(tmp_path: Path) -> None:
    first, second = cache_file(b"same", "1.webp"), cache_file(b"same", "1.webp")
    assert first == second
    assert Path(first).read_bytes() == b"same"
    assert uploaded_file({"path": first, "orig_name": "mine.jpg"}) == (Path(first), "mine.jpg")


# Names to delete


def test_the_pace_of_adding_names_the_slowest_stage() -> None:
    spent = {"decode": 1.0, "embed": 3.0, "write": 2.0}
    english = "Adding images: 12.3 a second; the slowest stage is the network"
    assert pace(12.34, spent, "en") == english
    assert pace(12.34, spent, "zh") == "正在添加图片：每秒 12.3 张；最慢的环节是提取特征"


def test_names_are_split_at_commas_and_line_breaks_and_kept_once() -> None:
    assert names_in(" a, b\r\nc c ,,\n b") == ["a", "b", "c c"]
    assert names_in(" \n, ") == []
    assert names_in('"a,b", c\n "x ""y""\nz " ,"a,b"') == ["a,b", "c", 'x "y"\nz ']
    assert names_in('5" pipe, "open, "" \n') == ['5" pipe', '"open', '""']


def test_ids_are_whole_numbers() -> None:
    assert ids_in(["1", "007", str(2**53 - 1)]) == [1, 7, 2**53 - 1]
    assert ids_in(["0", str(2**53)]) == []
    for bad in ("1.5", "-1", "abc", "１", "1e3", "9" * 40):
        with pytest.raises(InvalidValue, match=re.escape(bad)):
            ids_in(["1", bad])


def test_bytes_are_readable() -> None:
    assert [format_size(size) for size in (512, 34_500, 1_250_000)] == [
        "512 B",
        "34.5 kB",
        "1.2 MB",
    ]


def test_the_endpoints_need_blocks_to_stand_in(search: ImageSearch) -> None:
    with pytest.raises(Exception, match="Blocks context"):
        add_endpoints(search)
