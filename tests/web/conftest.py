"""A REST API on a gallery in Milvus Lite with the fake embedder."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.config import Settings
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.access import AccessControl
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png
from tests.support.rest import BASE, LIMIT, upload
from tests.support.web import reply, serving


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    folder = tmp_path_factory.mktemp("api")
    service = lite_search(folder, LIMIT)
    yield service
    service.close()


@pytest.fixture
def empty_gallery(search: ImageSearch) -> None:
    """The gallery is shared by the tests of a module: delete what the one before has added."""
    while records := search.page(size=1000).records:
        search.delete_ids([record.id for record in records])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cat.png").write_bytes(png(1))
    return tmp_path


@pytest.fixture
def client_with(search: ImageSearch, root: Path) -> Callable[..., TestClient]:
    def client(access: AccessControl | None = None, **settings: Any) -> TestClient:
        chosen = Settings(max_upload_mb=LIMIT / 1024 / 1024, **settings)
        app = FastAPI()
        sources = Sources([root], LIMIT, allow_private_urls=True)
        app.mount("/api", create_api(chosen, search, sources, access))
        return TestClient(app, raise_server_exceptions=False)

    return client


@pytest.fixture
def client(client_with: Callable[..., TestClient]) -> TestClient:
    return client_with()


@pytest.fixture
def image_url() -> Iterator[str]:
    with serving(lambda handler: reply(handler, png(1))) as base:
        yield f"{base}/cat.png"


@pytest.fixture
def searches(client: TestClient, root: Path, image_url: str) -> dict[str, Callable[..., Any]]:
    """The four ways to search with picture 1."""
    text = base64.b64encode(png(1)).decode()

    def by_json(route: str, **body: str) -> Callable[..., Any]:
        return lambda **more: client.post(f"{BASE}/search/{route}", json={**body, **more})

    return {
        "file": lambda **form: client.post(f"{BASE}/search/file", files=upload(), data=form),
        "url": by_json("url", url=image_url),
        "path": by_json("path", path=str(root / "cat.png")),
        "base64": by_json("base64", base64=text),
        "base64 with a prefix": by_json("base64", base64=f"data:image/png;base64,{text}"),
    }
