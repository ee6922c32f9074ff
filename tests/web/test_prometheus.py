"""What `GET /api/metrics` tells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from bogv.config import Settings
from bogv.errors import DatabaseUnavailable
from bogv.ingest import BATCH
from bogv.records import NewImage
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png

BASE = "/api/image/sim"


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("prometheus"))
    yield service
    service.close()


def client_with(search: ImageSearch, root: Path, **settings: Any) -> TestClient:
    app = FastAPI()
    app.mount("/api", create_api(Settings(**settings), search, Sources([root], 100_000)))
    return TestClient(app, raise_server_exceptions=False)


class Told:
    """One scrape."""

    def __init__(self, client: TestClient, **headers: str) -> None:
        self.answer = client.get("/api/metrics", headers=headers)
        assert self.answer.status_code == 200
        self._samples = [
            sample
            for family in text_string_to_metric_families(self.answer.text)
            for sample in family.samples
        ]

    def __call__(self, name: str, **labels: str) -> float:
        found = [s.value for s in self._samples if s.name == name and s.labels == labels]
        return found[0] if found else 0.0


def test_batches_of_many_adds_are_told_by_stage(search: ImageSearch, tmp_path: Path) -> None:
    client = client_with(search, tmp_path)
    many = (NewImage(partial(png, 1), key="again") for _ in range(BATCH + 1))
    assert len(list(search.add_many(many))) == BATCH + 1
    search.delete_keys(["again"])
    told = Told(client)
    for stage in ("decode", "embed", "write"):
        assert told("bogv_stage_seconds_count", operation="add_batch", stage=stage) == 2, stage


def test_requests_are_counted_by_route_and_outcome(search: ImageSearch, tmp_path: Path) -> None:
    client = client_with(search, tmp_path, http_status="200")
    for seed in (1, 2):
        client.post(f"{BASE}/search/file", files={"file": ("a.png", png(seed))})
    client.post(f"{BASE}/search/file", files={"file": ("a.png", b"no image")})
    client.get(f"{BASE}/search/file")
    for path in ("/api/private-1", "/api/private-2"):
        client.get(path)
    told = Told(client)
    route = f"{BASE}/search/file"
    # Outcomes stay true where every status is 200.
    assert told("bogv_requests_total", route=route, outcome="ok") == 2
    assert told("bogv_requests_total", route=route, outcome="not-an-image") == 1
    assert told("bogv_requests_total", route=route, outcome="method-not-allowed") == 1
    assert told("bogv_requests_total", route="(none)", outcome="no-such-route") == 2
    assert told("bogv_request_seconds_count", route=route) == 4
    assert "private" not in told.answer.text


def test_stages_batches_and_the_gallery_are_told(search: ImageSearch, tmp_path: Path) -> None:
    client = client_with(search, tmp_path)
    for seed in (1, 2, 3):
        client.post(f"{BASE}/add/file", files={"file": ("a.png", png(seed))})
    client.post(f"{BASE}/search/file", files={"file": ("a.png", png(1))})
    told = Told(client)
    for stage in ("decode", "embed", "search", "serialise"):
        assert told("bogv_stage_seconds_count", operation="search", stage=stage) == 1, stage
    for stage in ("decode", "embed", "write"):
        assert told("bogv_stage_seconds_count", operation="add", stage=stage) == 3, stage
        assert told("bogv_stage_seconds_sum", operation="add", stage=stage) > 0, stage
    assert told("bogv_embedder_batch_images_count") == told("bogv_embedder_batch_images_sum") == 4
    assert told("bogv_gallery_images") == search.stats().count == 3
    assert told("bogv_gallery_unhashed_images") == 0
    assert (told("bogv_database_up"), told("bogv_queue_limit")) == (1, 64)
    assert told("process_resident_memory_bytes") > 1_000_000
    assert math.isnan(told("bogv_canary_recall"))


def test_refusals_at_the_fences_are_counted_by_type(search: ImageSearch, tmp_path: Path) -> None:
    client = client_with(search, tmp_path)
    for path in ("/etc/passwd", "relative", str(tmp_path / "missing")):
        client.post(f"{BASE}/search/path", json={"path": path})
    for url in ("http://127.0.0.1/", "ftp://x", "http://169.254.169.254/"):
        client.post(f"{BASE}/add/url", json={"url": url})
    told = Told(client)
    counts = {"path-not-allowed": 2, "file-not-found": 1, "url-not-allowed": 2, "invalid-url": 1}
    for name, count in counts.items():
        assert told("bogv_fetch_refusals_total", type=name) == count, name


def test_a_database_that_is_gone_is_a_metric_and_no_failure(
    search: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> int:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    client = client_with(search, tmp_path)
    monkeypatch.setattr(search._store, "count", gone)
    told = Told(client)
    assert told("bogv_database_up") == 0
    assert math.isnan(told("bogv_gallery_images"))


def test_metrics_need_the_token_and_are_no_envelope(search: ImageSearch, tmp_path: Path) -> None:
    client = client_with(search, tmp_path, token="s3cret")
    refused = client.get("/api/metrics")
    assert (refused.status_code, refused.json()["error"]["type"]) == (401, "unauthorized")
    told = Told(client, token="s3cret")
    assert told.answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert told("bogv_requests_total", route="/api/metrics", outcome="unauthorized") == 1


def test_each_app_counts_for_itself(search: ImageSearch, tmp_path: Path) -> None:
    first, second = client_with(search, tmp_path), client_with(search, tmp_path)
    first.get("/api/nothing")
    assert Told(second)("bogv_requests_total", route="(none)", outcome="no-such-route") == 0
    assert Told(first)("bogv_requests_total", route="(none)", outcome="no-such-route") == 1
