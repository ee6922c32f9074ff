"""What stands before gradio: the token, the rate, the limits of bodies, the routes it may serve."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from bogv.service import ImageSearch
from bogv.ui.middleware import GradioAccess
from bogv.ui.uploads import UploadParser
from bogv.web.access import AccessControl
from tests.support.demo import API, upload
from tests.support.fakes import FakeClock, lite_search, png

TOKEN = "s3cret-令牌"

# gradio 6.31 counts its events with a pandas option that pandas 3 is about to drop.
pytestmark = [
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.usefixtures("uploads"),
]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("fence"))
    yield service
    service.close()


# The token


def test_files_answer_401_without_the_token_and_200_with_it(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with(token=TOKEN)
    assert client.get(f"{API}/file=x").status_code == 401
    assert log_in(client, TOKEN).status_code == 200
    url = f"{API}/file={upload(client, b'private')['path']}"
    assert client.get(url).content == b"private"
    client.get("/logout")
    assert client.get(url).status_code == 401


def test_a_wrong_token_is_refused(client_with: Callable[..., TestClient]) -> None:
    client = client_with(token=TOKEN)
    for password in ("", "wrong", TOKEN[:-1], f"{TOKEN} "):
        assert log_in(client, password).status_code in {400, 422}
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
    client = client_with(AccessControl(TOKEN, clock=clock))
    assert log_in(client, TOKEN).status_code == 200
    assert [log_in(client, "wrong").status_code for _ in range(5)] == [400] * 5
    for password in ("wrong", TOKEN):
        refused = log_in(client, password)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert client.get("/config").status_code == 200
    clock.now += 1
    assert log_in(client, TOKEN).status_code == 200
    assert log_in(client, "wrong").status_code == 400
    assert log_in(client, TOKEN).headers["Retry-After"] == "2"


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
        fence = GradioAccess(gradio, AccessControl(TOKEN, clock=FakeClock()), None, 1)
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
    client = client_with(AccessControl(rate="2/minute", clock=clock))
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
    client = client_with(allowed_hosts="demo.example")
    for host in ("demo.example", "127.0.0.1:7000"):
        asked = {"Origin": "https://evil.example", "Host": host}
        answer = client.get("/config", headers=asked)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        foreign = {**asked, "Sec-Fetch-Site": "cross-site"}
        answer = client.post(f"{API}/call/page", json={"data": [1, "", ""]}, headers=foreign)
        assert answer.status_code == 403
        wants = {**asked, "Access-Control-Request-Method": "POST"}
        answer = client.options(f"{API}/queue/join", headers=wants)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.status_code == 400


def test_a_page_of_another_site_makes_no_event_nor_waits_for_one(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    event = {"data": [1, "", ""]}
    for site in (
        {"Origin": "http://evil.example"},  # plain http: without Sec-Fetch-Site
        {"Origin": "null"},
        {"Origin": "http://testserver:1"},
        {"Host": "evil.example:7000", "Origin": "http://evil.example:7000"},  # DNS rebinding
    ):
        for path in ("call/page", "queue/join", "upload", "cancel", "reset"):
            assert client.post(f"{API}/{path}", headers=site, json=event).status_code == 403, site
        assert client.post("/login", headers=site).status_code == 403
        for path in ("queue/data?session_hash=x", "heartbeat/x", "call/page/x", "info"):
            assert client.get(f"{API}/{path}", headers=site).status_code == 403, site
    for path in ("queue/data?session_hash=x", "heartbeat/x", "startup-events"):
        for site_word in ("cross-site", "same-site"):  # a picture's address sends no Origin
            headers = {"Sec-Fetch-Site": site_word}
            assert client.get(f"{API}/{path}", headers=headers).status_code == 403
    for own in (
        {"Accept": "*/*"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post(f"{API}/call/page", headers=own, json=event).status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200  # a link


def test_a_login_whose_body_does_not_come_holds_nobody_up() -> None:
    """Nor can it be tried again and again until it is judged."""
    sent: list[Any] = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["body"] == b"x"
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def stalled() -> Any:
        await asyncio.Event().wait()

    async def whole() -> Any:
        return {"type": "http.request", "body": b"x"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        fence = GradioAccess(gradio, AccessControl(TOKEN, clock=FakeClock()), None, 1)
        scope = {"type": "http", "method": "POST", "path": "/login", "headers": []}
        slow = [asyncio.create_task(fence(dict(scope), stalled, send)) for _ in range(20)]
        await asyncio.sleep(0)
        await fence(dict(scope), whole, send)
        for each in slow:
            each.cancel()

    asyncio.run(run())
    assert sent[0]["status"] == 200
    assert any(name == b"set-cookie" for name, _ in sent[0]["headers"])


# The fence


CLOSED = [
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
]


def test_gradios_routes_that_the_demo_does_not_need_are_closed(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    for path in CLOSED:
        assert client.get(f"{API}/{path}").status_code == 404, path
        assert client.post(f"{API}/{path}", json={}).status_code == 404, path


def test_an_upload_over_the_limit_is_refused(client_with: Callable[..., TestClient]) -> None:
    files = {"files": ("big.png", b"0" * 200_000)}
    assert client_with().post(f"{API}/upload", files=files).status_code == 413


def left_behind(tmp_path: Path) -> list[Path]:
    """Temporary files of uploads: what is kept lies in folders."""
    return [path for path in (tmp_path / "cache" / "gradio").iterdir() if path.is_file()]


FORM = "application/x-www-form-urlencoded"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'


def test_an_upload_of_a_large_part_is_stopped_and_leaves_nothing(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = client_with()
    for start, status in (
        (FILE % b"a.png", 413),
        (FILE % b"a.png" + b"small\r\n" + FILE % b"b.png", 413),
        (FIELD % b"session_hash", 400),  # gradio keeps it in memory
        (b"--b\r\nX: ", 413),
        (b"", 400),
    ):
        body = start + b"x" * 1_000_000
        response = client.post(f"{API}/upload", content=body, headers=MULTIPART)
        assert response.status_code == status, start
        assert left_behind(tmp_path) == []


def test_of_an_upload_no_more_is_kept_than_the_limit_and_the_right_name(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = client_with()
    parts = (FILE % (b"%d.png" % n) + b"x" * 90_000 + b"\r\n" for n in range(70))
    response = client.post(f"{API}/upload", content=parts, headers=MULTIPART)
    assert response.status_code == 413  # 70 * 90,000 bytes; the limit is 50 * 0.1 MiB
    assert left_behind(tmp_path) == []
    files = [("files", ("a.png", b"a")), ("other", ("b.png", b"b"))]
    [kept] = client.post(f"{API}/upload", files=files).json()
    assert client.get(f"{API}/file={kept}").content == b"a"
    assert left_behind(tmp_path) == []


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    uploads = tmp_path / "cache" / "gradio"
    uploads.mkdir(parents=True)

    async def broken_off() -> Any:
        yield FILE % b"a.png" + b"half of i"
        raise ClientDisconnect

    parser = UploadParser(Headers(MULTIPART), broken_off(), upload_dir=uploads, max_file_size=1000)
    with pytest.raises(ClientDisconnect):
        asyncio.run(parser.parse())
    assert left_behind(tmp_path) == []


def test_any_other_body_has_a_limit_too(client_with: Callable[..., TestClient]) -> None:
    client = client_with(token=TOKEN)
    log_in(client, TOKEN)
    body = b'{"data": ["' + b"x" * 5_000_000 + b'"]}'
    for path in (f"{API}/queue/join", f"{API}/call/page", "/login"):
        kind = {"Content-Type": "application/json" if path != "/login" else FORM}
        for content in (body, iter([body])):  # the second without its length
            assert client.post(path, content=content, headers=kind).status_code == 413, path


def test_the_page_names_no_other_host_to_fetch_from(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    page = client.get("/").text
    fetched = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:)?//[^\"]*", page)
    assert not [each for each in fetched if "iframe-resizer" not in each]
    assert "fonts.googleapis" not in client.get("/theme.css").text


@pytest.mark.parametrize("route", ["cancel", "reset", "queue/join", "call/search", "call/v2/page"])
def test_an_event_of_too_many_values_is_refused_before_it_is_parsed(
    client_with: Callable[..., TestClient], route: str
) -> None:
    body = b'{"data": [' + b"[]," * 100_000 + b"1]}"
    answer = client_with().post(
        f"{API}/{route}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_one_client_has_a_bounded_number_of_open_pages(
    client_with: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bogv.ui.middleware.CLIENT_STREAMS", 0)
    client = client_with()
    assert client.get(f"{API}/heartbeat/x").status_code == 429
    assert client.get("/").status_code == 200
