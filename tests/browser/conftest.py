"""A real server and a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 60  # seconds
ARGUMENTS = [
    "--no-sandbox",  # chromium refuses one to root, as in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def serving_app(folder: Path, roots: Path, **environment: str) -> Iterator[str]:
    """`python app.py` on a gallery of its own; gives its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BOGV_")}
    ours = {
        "BOGV_DATA_DIR": str(folder / "data"),
        "BOGV_WEIGHTS": "untrained",
        "BOGV_IMAGE_ROOTS": str(roots),
        "API_PORT": port,
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=kept | ours | environment,
            stdout=log,
            stderr=log,
        )
        try:
            _wait_for(f"{url}/api/health", server, folder / "server.log")
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    pytest.fail(f"The server did not start:\n{log.read_text()}")


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
        allowed = (url, url.replace("http:", "ws:"), "data:", "blob:")

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
