from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.canary import HITS, Canary, CanaryResult
from bogv.config import Settings
from bogv.errors import DatabaseUnavailable
from bogv.records import Hit, NewImage
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("canary"))
    yield service
    service.close()


@pytest.fixture
def search(service: ImageSearch) -> ImageSearch:
    """An empty gallery."""
    while records := service.page(size=1000).records:
        service.delete_ids([record.id for record in records])
    return service


def check(search: ImageSearch, seed: int = 0) -> CanaryResult | None:
    canary = Canary(search, 300, seed)
    canary.check()
    return canary.result


def lose_row(search: ImageSearch, monkeypatch: pytest.MonkeyPatch, lost: int) -> None:
    """Make the index lose a row."""
    found = search._store.search

    def search_without(vector: object, limit: int) -> list[Hit]:
        hits: list[Hit] = found(vector, limit + 1)  # type: ignore[arg-type]
        return [hit for hit in hits if hit.record.id != lost][:limit]

    monkeypatch.setattr(search._store, "search", search_without)


def raise_unavailable(*_: object, **__: object) -> list[int]:
    raise DatabaseUnavailable("Milvus doesn't answer.")


def test_stored_images_find_themselves(search: ImageSearch) -> None:
    for seed in range(6):
        search.add(png(seed))
    for seed in range(5):
        result = check(search, seed)
        assert result is not None
        assert (result.searched, result.missed, result.recall) == (4, (), 1.0)
        assert result.summary.startswith("4 of 4 stored images found themselves, ")


def test_a_row_lost_by_the_index_is_reported_as_missed(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [search.add(png(seed)).id or 0 for seed in range(3)]
    lose_row(search, monkeypatch, ids[1])
    result = check(search)
    assert result is not None
    assert (result.searched, result.missed) == (3, (ids[1],))
    assert result.recall == pytest.approx(2 / 3)
    assert f"1 of 3 stored images did not find themselves, 0 s ago (ids {ids[1]})" in result.summary


def test_a_damaged_index_is_detected(tmp_path: Path) -> None:
    """Milvus Lite accepts the index file, but it maps each row to another row's vector."""
    search = lite_search(tmp_path / "sound")
    list(search.add_many(NewImage(partial(png, seed)) for seed in range(6)))
    search.close()
    # A copy, because Milvus Lite may still have the closed folder's index in memory.
    copy = shutil.copytree(tmp_path / "sound", tmp_path / "damaged")
    [path] = copy.rglob("images_fake0000/**/*.idx")
    index = faiss.read_index(str(path))
    vectors = index.reconstruct_n(0, index.ntotal)
    index.reset()
    index.add(np.roll(vectors, 1, axis=0))
    faiss.write_index(index, str(path))
    search = lite_search(copy)
    result = check(search)
    search.close()
    assert result is not None
    assert len(result.missed) == result.searched == 4


@pytest.mark.parametrize("twins", [2, HITS + 1])
def test_an_image_that_finds_its_duplicate_first_is_not_missed(
    search: ImageSearch, twins: int
) -> None:
    for key in range(twins):
        search.add(png(1), f"k{key}")
    result = check(search)
    assert result is not None
    assert result.missed == ()


def test_a_lost_row_is_missed_even_if_its_duplicate_is_found(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, _ = (search.add(png(1), key).id or 0 for key in "ab")
    lose_row(search, monkeypatch, lost)
    result = check(search)
    assert result is not None
    assert result.missed == (lost,)


def test_an_image_whose_hash_is_lost_is_missed(search: ImageSearch) -> None:
    lost, _ = (search.add(png(seed)).id or 0 for seed in (1, 2))
    search._store.copies.delete([lost])
    result = check(search)
    assert result is not None
    assert result.missed == (lost,)


def test_a_hash_that_is_yet_to_be_written_is_not_missed(search: ImageSearch) -> None:
    lost = search.add(png(1)).id or 0
    search._store.copies.delete([lost])
    search.backfill.count_missing()
    result = check(search)
    search.backfill.run(threading.Event())
    assert result is not None
    assert result.missed == ()


def test_an_image_deleted_during_the_check_is_not_missed(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [search.add(png(seed)).id or 0 for seed in range(2)]
    found = search._store.search

    def deleting(vector: object, limit: int) -> list[Hit]:
        search.delete_ids(ids[:1])
        hits: list[Hit] = found(vector, limit)  # type: ignore[arg-type]
        return hits

    monkeypatch.setattr(search._store, "search", deleting)
    result = check(search)
    assert result is not None
    assert (result.searched, result.missed) == (1, ())


def test_an_empty_gallery_is_not_searched(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search._store, "search", raise_unavailable)
    assert check(search) is None


def test_an_unavailable_database_is_reported_and_the_last_result_is_kept(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search.add(png(1))
    observed: list[CanaryResult | None] = []
    canary = Canary(search, 300)
    canary.observe = observed.append
    canary.check()
    with monkeypatch.context() as context:
        context.setattr(search._store, "get_ids_from", raise_unavailable)
        canary.check()
    assert observed == [canary.result, None]
    assert "could not check: Milvus doesn't answer." in caplog.text
    canary.check()
    assert observed[2] is canary.result is not None


class Observer:
    """Collects the results of the canary's thread."""

    def __init__(self, count: int) -> None:
        self.results: list[CanaryResult | None] = []
        self.enough = threading.Event()
        self._count = count

    def __call__(self, result: CanaryResult | None) -> None:
        self.results.append(result)
        if len(self.results) >= self._count:
            self.enough.set()


def test_checks_repeat_until_the_canary_is_stopped(search: ImageSearch) -> None:
    search.add(png(1))
    canary = Canary(search, 0.001)
    canary.observe = observer = Observer(count=3)
    canary.start()
    assert observer.enough.wait(30)
    canary.stop()
    assert not canary._thread.is_alive()
    assert None not in observer.results


def test_a_bug_does_not_end_the_thread(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> list[int]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(search._store, "get_ids_from", broken)
    canary = Canary(search, 0.001)
    canary.observe = observer = Observer(count=2)
    canary.start()
    assert observer.enough.wait(30)
    canary.stop()
    assert set(observer.results) == {None}
    assert "a bug" in caplog.text


def test_it_can_be_disabled_and_stopped_before_it_was_started(search: ImageSearch) -> None:
    off = Canary(search, 0)
    off.start()
    assert off._thread.ident is None
    off.stop()
    Canary(search, 1).stop()


def test_health_is_degraded_and_metrics_show_it_while_images_are_missed(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = search.add(png(1)).id or 0
    search.add(png(2))
    canary = Canary(search, 300)
    app = FastAPI()
    settings = Settings(token="t")
    app.mount("/api", create_api(settings, search, Sources([], 100_000), canary=canary))
    client = TestClient(app)
    right = {"token": "t"}
    assert "canary" not in client.get("/api/health", headers=right).json()["data"]
    with monkeypatch.context() as context:
        lose_row(search, context, lost)
        canary.check()
    answer = client.get("/api/health", headers=right)
    assert answer.status_code == 200  # searches still work: no restart is needed
    assert answer.json()["data"]["status"] == "degraded"
    assert str(lost) in answer.json()["data"]["canary"]
    assert client.get("/api/health").json()["data"] == {"status": "degraded"}
    metrics = client.get("/api/metrics", headers=right).text
    assert "\nbogv_canary_recall 0.5\n" in metrics
    assert "\nbogv_canary_searches_total 2.0\n" in metrics
    assert "\nbogv_canary_misses_total 1.0\n" in metrics
    canary.check()
    assert client.get("/api/health").json()["data"] == {"status": "ok"}
    assert "\nbogv_canary_recall 1.0\n" in client.get("/api/metrics", headers=right).text
