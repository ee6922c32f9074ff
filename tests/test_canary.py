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

from bogv.canary import HITS, Canary, Verdict
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


def looked(search: ImageSearch, seed: int = 0) -> Verdict | None:
    canary = Canary(search, 300, seed)
    canary.look()
    return canary.verdict


def blind(search: ImageSearch, monkeypatch: pytest.MonkeyPatch, to: int) -> None:
    """An index that has lost a row."""
    found = search._store.search

    def search_without(vector: object, limit: int) -> list[Hit]:
        hits: list[Hit] = found(vector, limit + 1)  # type: ignore[arg-type]
        return [hit for hit in hits if hit.record.id != to][:limit]

    monkeypatch.setattr(search._store, "search", search_without)


def gone(*_: object, **__: object) -> list[int]:
    raise DatabaseUnavailable("Milvus doesn't answer.")


def test_images_that_are_there_find_themselves(search: ImageSearch) -> None:
    for seed in range(6):
        search.add(png(seed))
    for seed in range(5):
        verdict = looked(search, seed)
        assert verdict is not None
        assert (verdict.searched, verdict.missed, verdict.recall) == (4, (), 1.0)
        assert verdict.words.startswith("4 of 4 stored images found themselves, ")


def test_a_row_that_the_index_has_lost_is_missed(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [search.add(png(seed)).id or 0 for seed in range(3)]
    blind(search, monkeypatch, ids[1])
    verdict = looked(search)
    assert verdict is not None
    assert (verdict.searched, verdict.missed) == (3, (ids[1],))
    assert verdict.recall == pytest.approx(2 / 3)
    assert f"1 of 3 stored images did not find themselves, 0 s ago (ids {ids[1]})" in verdict.words


def test_a_damaged_index_is_found_out(tmp_path: Path) -> None:
    """It can be read, so Milvus Lite takes it; but each row has another's vector in it."""
    search = lite_search(tmp_path / "sound")
    list(search.add_many(NewImage(partial(png, seed)) for seed in range(6)))
    search.close()
    # Milvus Lite may keep what it has closed: a folder that it doesn't know is read.
    copy = shutil.copytree(tmp_path / "sound", tmp_path / "damaged")
    [path] = copy.rglob("*.idx")
    index = faiss.read_index(str(path))
    vectors = index.reconstruct_n(0, index.ntotal)
    index.reset()
    index.add(np.roll(vectors, 1, axis=0))
    faiss.write_index(index, str(path))
    search = lite_search(copy)
    verdict = looked(search)
    search.close()
    assert verdict is not None
    assert len(verdict.missed) == verdict.searched == 4


@pytest.mark.parametrize("twins", [2, HITS + 1])
def test_an_image_that_finds_its_twin_first_is_no_miss(search: ImageSearch, twins: int) -> None:
    for key in range(twins):
        search.add(png(1), f"k{key}")
    verdict = looked(search)
    assert verdict is not None
    assert verdict.missed == ()


def test_a_lost_row_is_missed_though_its_twin_is_found(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, _ = (search.add(png(1), key).id or 0 for key in "ab")
    blind(search, monkeypatch, lost)
    verdict = looked(search)
    assert verdict is not None
    assert verdict.missed == (lost,)


def test_an_image_that_is_deleted_meanwhile_is_no_miss(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [search.add(png(seed)).id or 0 for seed in range(2)]
    found = search._store.search

    def deleting(vector: object, limit: int) -> list[Hit]:
        search.delete_ids(ids[:1])
        hits: list[Hit] = found(vector, limit)  # type: ignore[arg-type]
        return hits

    monkeypatch.setattr(search._store, "search", deleting)
    verdict = looked(search)
    assert verdict is not None
    assert (verdict.searched, verdict.missed) == (1, ())


def test_an_empty_gallery_is_not_searched(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search._store, "search", gone)
    assert looked(search) is None


def test_a_database_that_is_gone_is_told_and_the_last_verdict_stands(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    search.add(png(1))
    told: list[Verdict | None] = []
    canary = Canary(search, 300)
    canary.observe = told.append
    canary.look()
    with monkeypatch.context() as context:
        context.setattr(search._store, "ids_from", gone)
        canary.look()
    assert told == [canary.verdict, None]
    assert "could not look: Milvus doesn't answer." in caplog.text
    canary.look()
    assert told[2] is canary.verdict is not None


class Told:
    """Hears of the looks from the canary's thread."""

    def __init__(self, enough: int) -> None:
        self.verdicts: list[Verdict | None] = []
        self.enough = threading.Event()
        self._count = enough

    def __call__(self, verdict: Verdict | None) -> None:
        self.verdicts.append(verdict)
        if len(self.verdicts) >= self._count:
            self.enough.set()


def test_it_looks_again_and_again_until_it_is_stopped(search: ImageSearch) -> None:
    search.add(png(1))
    canary = Canary(search, 0.001)
    canary.observe = told = Told(enough=3)
    canary.start()
    assert told.enough.wait(30)
    canary.stop()
    assert not canary._thread.is_alive()
    assert None not in told.verdicts


def test_a_fault_does_not_end_the_watch(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> list[int]:
        raise RuntimeError("a bug")

    monkeypatch.setattr(search._store, "ids_from", broken)
    canary = Canary(search, 0.001)
    canary.observe = told = Told(enough=2)
    canary.start()
    assert told.enough.wait(30)
    canary.stop()
    assert set(told.verdicts) == {None}
    assert "a bug" in caplog.text


def test_it_can_be_turned_off_and_stopped_before_it_was_started(search: ImageSearch) -> None:
    off = Canary(search, 0)
    off.start()
    assert off._thread.ident is None
    off.stop()
    Canary(search, 1).stop()


def test_health_is_degraded_and_metrics_tell_while_images_are_missed(
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
        blind(search, context, lost)
        canary.look()
    answer = client.get("/api/health", headers=right)
    assert answer.status_code == 200  # what is found is served: no restart is asked for
    assert answer.json()["data"]["status"] == "degraded"
    assert str(lost) in answer.json()["data"]["canary"]
    assert client.get("/api/health").json()["data"] == {"status": "degraded"}
    told = client.get("/api/metrics", headers=right).text
    assert "\nbogv_canary_recall 0.5\n" in told
    assert "\nbogv_canary_searches_total 2.0\n" in told
    assert "\nbogv_canary_misses_total 1.0\n" in told
    canary.look()
    assert client.get("/api/health").json()["data"] == {"status": "ok"}
    assert "\nbogv_canary_recall 1.0\n" in client.get("/api/metrics", headers=right).text
