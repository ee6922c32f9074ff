"""A real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

ARGUMENTS = [
    "--no-sandbox",  # chromium refuses one to root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One chromium for the tests of a file: playwright's event loop is not for those of others."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a URL. Afterwards: the page asked no other host, and no script of it failed."""
    contexts: list[Any] = []
    foreign: list[str] = []
    failed: list[str] = []

    def opened(url: str, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        host = urlsplit(url).netloc
        allowed = (f"http://{host}/", f"ws://{host}/", "data:", "blob:")

        def request(asked: Any) -> None:
            if not asked.url.startswith(allowed):
                foreign.append(asked.url)

        def console(message: Any) -> None:
            if message.type == "error":
                failed.append(f"{message.text} {message.location}")

        page.on("request", request)
        page.on("console", console)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.goto(url)
        page.failures = failed
        return page

    yield opened
    for context in contexts:
        context.close()
    assert foreign == []
    assert failed == []
