"""The demo without a browser: token, fence, named endpoints, words, escaping, names to delete."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from bogv import errors
from bogv.config import Settings
from bogv.errors import BogvError, InvalidValue, NotAnImage, PathNotAllowed
from bogv.limits import Door
from bogv.records import Added, Record
from bogv.service import ImageSearch
from bogv.sources import Sources
from bogv.ui import header_html, mount_demo
from bogv.ui.add import AddTab
from bogv.ui.delete import ids_in, names_in
from bogv.ui.endpoints import add_endpoints
from bogv.ui.fence import GradioFence
from bogv.ui.parts import Shared, cached, card, explain, guarded, readable, uploaded
from bogv.ui.uploads import UploadParser
from bogv.ui.words import ERRORS, LOG_IN, WORDS, count_of, labels, language_of, say, why
from tests.fakes import FakeClock, lite_search, png

TOKEN = "s3cret-令牌"
HOSTILE = "<img src=x onerror=alert(1)>\"'&"
API = "/gradio_api"

# gradio 6.31 counts its events with a pandas option that pandas 3 is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    folder = tmp_path_factory.mktemp("ui")
    service = lite_search(folder)
    yield service
    service.close()


@pytest.fixture(autouse=True)
def _uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))


@pytest.fixture
def client_with(search: ImageSearch, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    opened: list[TestClient] = []

    def client(door: Door | None = None, **settings: Any) -> TestClient:
        chosen = Settings(data_dir=tmp_path, max_upload_mb=0.1, **settings)

        async def build() -> FastAPI:  # without a running loop, gradio opens some and leaves them
            return mount_demo(chosen, search, Sources([tmp_path], 100_000), door)

        opened.append(TestClient(asyncio.run(build())))
        return opened[-1].__enter__()

    yield client
    for each in opened:
        each.__exit__(None, None, None)


def call(client: TestClient, name: str, *data: Any) -> Any:
    """What a named endpoint answers, as gradio_client asks for it; an error's text if it fails."""
    event = client.post(f"{API}/call/{name}", json={"data": data}).json()["event_id"]
    stream = client.get(f"{API}/call/{name}/{event}").text
    kind, body = re.findall(r"event: (\w+)\ndata: (.*)", stream)[-1]
    answer = json.loads(body)
    return answer["error"] if kind == "error" else answer[0]


def upload(client: TestClient, data: bytes, name: str = "a.png") -> dict[str, Any]:
    """A file as gradio's page sends it."""
    path = client.post(f"{API}/upload", files={"files": (name, data)}).json()[0]
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


# The token

GUARDED = [
    ("GET", "/config"),
    ("GET", f"{API}/info"),
    ("POST", f"{API}/queue/join"),
    ("GET", f"{API}/queue/data?session_hash=a"),
    ("POST", f"{API}/upload"),
    ("GET", f"{API}/upload_progress?upload_id=a"),
    ("POST", f"{API}/call/page"),
    ("GET", f"{API}/call/page/0123456789"),
    ("POST", f"{API}/call/v2/page"),
    ("GET", f"{API}/login_check"),
]
BODY = {"data": [24, "", ""], "fn_index": 0, "session_hash": "a"}


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_gradios_own_endpoints_answer_401_without_the_token(
    client_with: Callable[..., TestClient], method: str, path: str
) -> None:
    client = client_with(token=TOKEN)
    body = BODY if method == "POST" else None
    assert client.request(method, path, json=body).status_code == 401


def test_files_answer_401_without_the_token_and_200_with_it(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with(token=TOKEN)
    url = f"{API}/file={cached(b'private', 'a.webp')}"
    assert client.get(url).status_code == 401
    login = client.post("/login", data={"username": "anyone", "password": TOKEN})
    assert login.status_code == 200
    assert client.get(url).content == b"private"


@pytest.mark.parametrize("password", ["", "wrong", TOKEN[:-1], f"{TOKEN} "])
def test_a_wrong_token_is_refused(client_with: Callable[..., TestClient], password: str) -> None:
    client = client_with(token=TOKEN)
    login = client.post("/login", data={"username": "anyone", "password": password})
    assert login.status_code in {400, 422}
    assert client.get("/config").status_code == 401


def test_the_login_page_shows_nothing_of_the_gallery(
    client_with: Callable[..., TestClient], search: ImageSearch
) -> None:
    search.add(png(1), key="a private key")
    page = client_with(token=TOKEN).get("/").text
    assert '"auth_required":true' in page.replace(" ", "")
    assert "a private key" not in page
    assert "query-image" not in page


def log_in(client: TestClient, password: str) -> Any:
    return client.post("/login", data={"username": "anyone", "password": password})


def test_wrong_passwords_are_slowed_down_and_sessions_are_not(
    client_with: Callable[..., TestClient],
) -> None:
    clock = FakeClock()
    client = client_with(Door(TOKEN, clock=clock))
    assert log_in(client, TOKEN).status_code == 200
    assert [log_in(client, "wrong").status_code for _ in range(5)] == [400] * 5
    for password in ("wrong", TOKEN):
        refused = log_in(client, password)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert client.get("/config").status_code == 200
    clock.now += 1
    assert log_in(client, TOKEN).status_code == 200
    assert [log_in(client, "wrong").status_code for _ in range(4)] == [400] * 4


def test_passwords_tried_all_at_once_are_slowed_down_too() -> None:
    """Those that are not judged yet count as wrong."""
    inside = 0
    statuses: list[int] = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        nonlocal inside
        inside += 1
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 400, "headers": []})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def run() -> None:
        fence = GradioFence(gradio, Door(TOKEN, clock=FakeClock()), None, 1)
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/login", "headers": []}
        scope["client"] = ("192.0.2.1", 1)
        await asyncio.gather(*(fence(scope, _no_body, send) for _ in range(50)))

    asyncio.run(run())
    assert inside == 5
    assert sorted(statuses) == [400] * 5 + [429] * 45


async def _no_body() -> Any:
    return {"type": "http.request"}


def test_the_demos_own_endpoints_have_the_rate_that_is_set(
    client_with: Callable[..., TestClient],
) -> None:
    clock = FakeClock()
    client = client_with(Door(rate="2/minute", clock=clock))
    assert [client.get("/config").status_code for _ in range(9)] == [200] * 9
    for _ in range(2):
        assert client.post(f"{API}/call/page", json={"data": [1, "", ""]}).status_code == 200
    for path in ("call/page", "upload", "queue/join", "nothing"):
        refused = client.post(f"{API}/{path}", headers={"Accept-Language": "zh-CN"})
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
        assert "请求过于频繁" in refused.json()["detail"]
    clock.now += 30
    assert client.post(f"{API}/call/page", json={"data": [1, "", ""]}).status_code == 200


def test_no_other_sites_scripts_may_read_the_answers(
    client_with: Callable[..., TestClient],
) -> None:
    """Gradio itself lets any site, with the visitor's cookies."""
    client = client_with()
    for host in ("demo.example", "127.0.0.1:7000"):
        asked = {"Origin": "https://evil.example", "Host": host}
        answer = client.get("/config", headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        wants = {**asked, "Access-Control-Request-Method": "POST"}
        answer = client.options(f"{API}/queue/join", headers=wants)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.status_code == 400


# The fence


@pytest.mark.parametrize(
    "path",
    [
        "file=http://127.0.0.1/secret",
        "file=https://example.com/",
        "file= HTTP://example.com/",
        "file/https://example.com/",
        "proxy=https://example.hf.space/",
        "process_recording",
        "vibe-code",
        "run-history/records",
        "deep_link",
        "run/page",
        "dev/reload",
    ],
)
def test_gradios_routes_that_the_demo_does_not_need_are_closed(
    client_with: Callable[..., TestClient], path: str
) -> None:
    client = client_with()
    assert client.get(f"{API}/{path}").status_code == 404
    assert client.post(f"{API}/{path}", json={}).status_code == 404


def test_a_file_is_served_from_the_uploads_alone(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = client_with()
    (tmp_path / "secret.png").write_bytes(b"secret")
    for path in ("/etc/passwd", tmp_path / "secret.png", Path(__file__), "../etc/passwd"):
        assert client.get(f"{API}/file={path}").status_code == 403


def test_a_url_is_not_taken_for_an_uploaded_file(client_with: Callable[..., TestClient]) -> None:
    file = {"path": "https://example.com/cat.jpg", "meta": {"_type": "gradio.FileData"}}
    assert "must be uploaded" in call(client_with(), "search", file, 10, 0.0)


def test_a_path_of_the_server_is_not_taken_for_an_uploaded_file(
    client_with: Callable[..., TestClient],
) -> None:
    plain = {"path": "/etc/passwd"}
    assert "path-not-allowed" in call(client_with(), "search", plain, 10, 0.0)
    with pytest.raises(PathNotAllowed):
        uploaded({"path": "/etc/passwd"})


def test_an_upload_over_the_limit_is_refused(client_with: Callable[..., TestClient]) -> None:
    files = {"files": ("big.png", b"0" * 200_000)}
    assert client_with().post(f"{API}/upload", files=files).status_code == 413


def left_behind(tmp_path: Path) -> list[Path]:
    """Temporary files of uploads: what is kept lies in folders."""
    return [path for path in (tmp_path / "uploads").iterdir() if path.is_file()]


MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (FILE % b"a.png", 413),
        (FILE % b"a.png" + b"small\r\n" + FILE % b"b.png", 413),
        (FIELD % b"session_hash", 400),  # gradio keeps it in memory
        (b"--b\r\nX: ", 400),
        (b"", 400),
    ],
    ids=["file", "second file", "field", "header", "nothing"],
)
def test_an_upload_without_an_end_is_stopped_and_leaves_nothing(
    client_with: Callable[..., TestClient], tmp_path: Path, start: bytes, status: int
) -> None:
    def endless() -> Iterator[bytes]:
        yield start
        for _ in range(400):
            yield b"x" * 50_000

    response = client_with().post(f"{API}/upload", content=endless(), headers=MULTIPART)
    assert response.status_code == status
    assert left_behind(tmp_path) == []


def test_many_small_files_are_stopped_at_the_limit_of_all(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    parts = (FILE % (b"%d.png" % n) + b"x" * 90_000 + b"\r\n" for n in range(70))
    response = client_with().post(f"{API}/upload", content=parts, headers=MULTIPART)
    assert response.status_code == 413  # 70 * 90,000 bytes; the limit is 50 * 0.1 MiB
    assert left_behind(tmp_path) == []


def test_a_file_of_another_name_is_not_kept(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    files = [("files", ("a.png", b"a")), ("other", ("b.png", b"b"))]
    [kept] = client_with().post(f"{API}/upload", files=files).json()
    assert Path(kept).read_bytes() == b"a"
    assert left_behind(tmp_path) == []


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "uploads").mkdir()

    async def broken_off() -> Any:
        yield FILE % b"a.png" + b"half of i"
        raise ClientDisconnect

    parser = UploadParser(
        Headers(MULTIPART), broken_off(), upload_dir=tmp_path / "uploads", max_file_size=1000
    )
    with pytest.raises(ClientDisconnect):
        asyncio.run(parser.parse())
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("path", [f"{API}/queue/join", f"{API}/call/page", "/login"])
def test_any_other_body_has_a_limit_too(client_with: Callable[..., TestClient], path: str) -> None:
    client = client_with(token=TOKEN)
    log_in(client, TOKEN)
    parts = [b'{"data": ["', b"x" * 5_000_000, b'"]}']
    form = path == "/login"
    kind = MULTIPART["Content-Type"] if form else "application/json"
    for content in (b"".join(parts), iter(parts)):
        answer = client.post(path, content=content, headers={"Content-Type": kind})
        assert answer.status_code == 413 or (form and answer.status_code == 400)


def test_the_page_names_no_other_host_to_fetch_from(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    page = client.get("/").text
    fetched = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:)?//[^\"]*", page)
    assert not [each for each in fetched if "iframe-resizer" not in each]
    assert "fonts.googleapis" not in client.get("/theme.css").text


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


def test_only_the_four_endpoints_are_documented(client_with: Callable[..., TestClient]) -> None:
    info = client_with().get(f"{API}/info").json()
    assert set(info["named_endpoints"]) == {"/search", "/add", "/delete", "/page"}
    assert not info["unnamed_endpoints"]


# Words


def _types(root: type[BogvError]) -> set[str]:
    return {root.type}.union(*map(_types, root.__subclasses__()))


@pytest.mark.parametrize("word", [*WORDS, *ERRORS])
def test_each_word_is_there_in_both_languages(word: str) -> None:
    english, chinese = WORDS.get(word) or ERRORS[word]
    assert english.strip()
    assert not re.search("[一-鿿]", english)
    assert re.search("[一-鿿]", chinese) or word in {"id", "ids"}
    braces = [sorted(re.findall(r"{(\w+)}", text)) for text in (english, chinese)]
    assert braces[0] == braces[1]


def test_each_word_is_used() -> None:
    folder = Path(inspect.getfile(mount_demo)).parent
    code = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "words.py")
    made = {"weights_custom", "weights_untrained"} | {w for w in WORDS if w[-2:] in {"_1", "_n"}}
    made |= {"score", "size", "added", "decode", "embed", "search"}
    used = set(re.findall(r"[\"'](\w+)[\"']", code))
    assert set(WORDS) - used - made == set()


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
    assert count_of("en", "images", 1) == "1 image"
    assert count_of("en", "images", 1234) == "1,234 images"
    assert say("zh", "deleted_1", count=1) == "已删除 1 张图片。"
    assert why("en", "no-such-type") is None
    assert "token" in LOG_IN


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
    @guarded
    def handler() -> None:
        raise InvalidValue("<b>")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert "&lt;b&gt;" in str(caught.value)


def test_an_unexpected_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    @guarded
    def handler() -> None:
        raise RuntimeError("the inner workings")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert "inner workings" not in str(caught.value)
    assert "inner workings" in caplog.text


def test_cached_bytes_are_kept_once_under_their_name(tmp_path: Path) -> None:
    first, second = cached(b"same", "1.webp"), cached(b"same", "1.webp")
    assert first == second
    assert Path(first).read_bytes() == b"same"
    assert uploaded({"path": first, "orig_name": "mine.jpg"}) == (Path(first), "mine.jpg")


# Names to delete


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
    assert [readable(size) for size in (512, 34_500, 1_250_000)] == ["512 B", "34.5 kB", "1.2 MB"]


def test_the_endpoints_need_blocks_to_stand_in(search: ImageSearch) -> None:
    with pytest.raises(Exception, match="Blocks context"):
        add_endpoints(search)
