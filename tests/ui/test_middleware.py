"""The middleware in front of gradio: login, rate limit, body limits, CSRF and allowed routes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bogv.service import ImageSearch
from bogv.ui.middleware import GradioAccess
from bogv.web.access import AccessControl
from tests.support.demo import API, upload
from tests.support.fakes import FakeClock, png

TOKEN = "s3cret-令牌"
FORM = "application/x-www-form-urlencoded"

pytestmark = pytest.mark.usefixtures("uploads")


# Login


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


def test_a_wrong_token_is_rejected(client_with: Callable[..., TestClient]) -> None:
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


def test_wrong_passwords_delay_logins_but_not_existing_sessions(
    client_with: Callable[..., TestClient],
) -> None:
    clock = FakeClock()
    client = client_with(AccessControl(TOKEN, clock=clock))
    assert log_in(client, TOKEN).status_code == 200
    assert [log_in(client, "wrong").status_code for _ in range(5)] == [400] * 5
    for password in ("wrong", TOKEN):
        response = log_in(client, password)
        assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert client.get("/config").status_code == 200
    clock.now += 1
    assert log_in(client, TOKEN).status_code == 200
    assert log_in(client, "wrong").status_code == 400
    assert log_in(client, TOKEN).headers["Retry-After"] == "2"


def test_concurrent_login_attempts_are_limited() -> None:
    """Attempts that are still in progress count as wrong."""
    attempts = 0
    statuses: list[int] = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 400, "headers": []})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def run() -> None:
        middleware = GradioAccess(gradio, AccessControl(TOKEN, clock=FakeClock()), None, 1)
        scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/login", "headers": []}
        scope["client"] = ("192.0.2.1", 1)
        await asyncio.gather(*(middleware(scope, _no_body, send) for _ in range(50)))

    asyncio.run(run())
    assert attempts == 5
    assert sorted(statuses) == [400] * 5 + [429] * 45


async def _no_body() -> Any:
    return {"type": "http.request"}


def test_the_rate_limit_applies_to_events_and_uploads(
    client_with: Callable[..., TestClient],
) -> None:
    clock = FakeClock()
    client = client_with(AccessControl(rate="2/minute", clock=clock))
    assert [client.get("/config").status_code for _ in range(9)] == [200] * 9
    for _ in range(2):
        assert client.post(f"{API}/call/page", json={"data": [1, "", ""]}).status_code == 200
    for path in ("call/page", "upload", "queue/join", "nothing"):
        response = client.post(f"{API}/{path}", headers={"Accept-Language": "zh-CN"})
        assert (response.status_code, response.headers["Retry-After"]) == (429, "30")
        assert "请求过于频繁" in response.json()["detail"]
    clock.now += 30
    assert client.post(f"{API}/call/page", json={"data": [1, "", ""]}).status_code == 200


def test_scripts_of_other_sites_cannot_read_responses(
    client_with: Callable[..., TestClient],
) -> None:
    """By default, gradio allows any site to, with the visitor's cookies."""
    client = client_with(allowed_hosts="demo.example")
    for host in ("demo.example", "127.0.0.1:7000"):
        headers = {"Origin": "https://evil.example", "Host": host}
        answer = client.get("/config", headers=headers)
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]
        cross_site = {**headers, "Sec-Fetch-Site": "cross-site"}
        answer = client.post(f"{API}/call/page", json={"data": [1, "", ""]}, headers=cross_site)
        assert answer.status_code == 403
        preflight = {**headers, "Access-Control-Request-Method": "POST"}
        answer = client.options(f"{API}/queue/join", headers=preflight)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.status_code == 400


def test_a_page_of_another_site_cannot_trigger_or_watch_events(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    event = {"data": [1, "", ""]}
    for site in (
        {"Origin": "http://evil.example"},  # over plain HTTP, browsers send no Sec-Fetch-Site
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
        for fetch_site in ("cross-site", "same-site"):  # an <img src> sends no Origin
            headers = {"Sec-Fetch-Site": fetch_site}
            assert client.get(f"{API}/{path}", headers=headers).status_code == 403
    for own in (
        {"Accept": "*/*"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"},
    ):
        assert client.post(f"{API}/call/page", headers=own, json=event).status_code == 200
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200  # a link


def test_a_login_with_a_stalled_body_blocks_no_other_login() -> None:
    """An attempt starts when its body is complete, and delivers that body once."""
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
        middleware = GradioAccess(gradio, AccessControl(TOKEN, clock=FakeClock()), None, 1)
        scope = {"type": "http", "method": "POST", "path": "/login", "headers": []}
        slow = [asyncio.create_task(middleware(dict(scope), stalled, send)) for _ in range(20)]
        await asyncio.sleep(0)
        await middleware(dict(scope), whole, send)
        for each in slow:
            each.cancel()

    asyncio.run(run())
    assert sent[0]["status"] == 200
    assert any(name == b"set-cookie" for name, _ in sent[0]["headers"])


# Routes and bodies


BLOCKED_ROUTES = [
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


def test_routes_of_gradio_that_the_demo_does_not_use_answer_404(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    for path in BLOCKED_ROUTES:
        assert client.get(f"{API}/{path}").status_code == 404, path
        assert client.post(f"{API}/{path}", json={}).status_code == 404, path


def test_an_upload_over_the_limit_is_rejected(client_with: Callable[..., TestClient]) -> None:
    files = {"files": ("big.png", b"0" * 200_000)}
    assert client_with().post(f"{API}/upload", files=files).status_code == 413


def test_other_request_bodies_are_limited(client_with: Callable[..., TestClient]) -> None:
    client = client_with(token=TOKEN)
    log_in(client, TOKEN)
    body = b'{"data": ["' + b"x" * 5_000_000 + b'"]}'
    for path in (f"{API}/queue/join", f"{API}/call/page", "/login"):
        headers = {"Content-Type": "application/json" if path != "/login" else FORM}
        for content in (body, iter([body])):  # the second is sent without a Content-Length
            assert client.post(path, content=content, headers=headers).status_code == 413, path


def test_the_page_loads_nothing_from_other_hosts(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with()
    page = client.get("/").text
    loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"(https?:)?//[^\"]*", page)
    assert not [each for each in loaded if "iframe-resizer" not in each]
    assert "fonts.googleapis" not in client.get("/theme.css").text


@pytest.mark.parametrize("route", ["cancel", "reset", "queue/join", "call/search", "call/v2/page"])
def test_an_event_with_too_many_values_is_rejected_before_parsing(
    client_with: Callable[..., TestClient], route: str
) -> None:
    body = b'{"data": [' + b"[]," * 100_000 + b"1]}"
    answer = client_with().post(
        f"{API}/{route}", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


def test_the_number_of_open_pages_per_client_is_bounded(
    client_with: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bogv.ui.middleware.MAX_STREAMS_PER_CLIENT", 0)
    client = client_with()
    assert client.get(f"{API}/heartbeat/x").status_code == 429
    assert client.get("/").status_code == 200
