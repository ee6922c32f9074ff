"""What fails around bogv: kills, a database that is gone or slow, damaged folders, a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.bootstrap import open_sources
from bogv.config import Settings
from bogv.errors import DatabaseUnavailable
from bogv.service import ImageSearch
from bogv.storage.intent_log import IntentLog
from bogv.storage.milvus import MilvusStore
from bogv.storage.server import ServerConnection
from bogv.storage.thumbnails import Thumbnails
from bogv.web.api import create_api
from tests.support.fakes import fake_search, png
from tests.support.full_disk import mount_namespace
from tests.support.killing import Place, is_refused, kill_many
from tests.support.proxy import Proxy
from tests.support.running import ROOT

SIM = "/api/image/sim"
PATIENCE = 60  # s until something must have come back


def file(seed: int) -> dict[str, tuple[str, bytes]]:
    return {"file": ("a.png", png(seed))}


def api(search: ImageSearch) -> FastAPI:
    app = FastAPI()
    settings = Settings()
    app.mount("/api", create_api(settings, search, open_sources(settings)))
    return app


# Kills


def test_nothing_acknowledged_is_lost_by_kills_and_strays_are_swept(tmp_path: Path) -> None:
    assert kill_many(Place(tmp_path), kills=3, seed=3, seconds=0.5) > 0


def test_one_process_has_a_milvus_lite_folder_and_the_next_is_told(tmp_path: Path) -> None:
    search = Place(tmp_path).open()
    assert is_refused(Place(tmp_path))
    search.close()


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    store = MilvusStore.lite(tmp_path, "images")
    service = fake_search(store, tmp_path, pending=tmp_path / "pending")
    yield service
    service.close()


@pytest.fixture
def thumbnails(search: ImageSearch) -> Thumbnails:
    return search.thumbnails


def crashed(folder: Path, *ids: int, cut_short: str = "") -> Path:
    """The notes of a process that was killed."""
    notes = folder / "pending" / "f00.ids"
    notes.parent.mkdir(exist_ok=True)
    notes.write_text("".join(f"{each}\n" for each in ids) + cut_short)
    return notes


def test_the_sweep_removes_what_a_crash_left_and_nothing_else(
    tmp_path: Path, search: ImageSearch, thumbnails: Thumbnails
) -> None:
    there = search.add(png(1)).id or 0
    for stray in (2, 3):
        thumbnails.write(stray, b"stray")
    thumbnails.write(4, b"of another gallery")
    search._store.copies.put([2, 3, 5], np.zeros((3, 32), np.uint8), [100] * 3)
    part = tmp_path / "thumbnails" / "3.f00.part"
    part.write_bytes(b"half")
    notes = crashed(tmp_path, there, 2, 3, cut_short="9")

    assert search.sweep(min_age=0) == 0

    left = {path.name for path in (tmp_path / "thumbnails").iterdir()}
    assert left == {f"{there}.webp", "4.webp"}
    assert search._store.copies.existing([there, 2, 3, 5]) == {there, 5}
    assert not notes.exists()


def test_the_sweep_leaves_what_another_server_may_be_adding(
    tmp_path: Path, search: ImageSearch, thumbnails: Thumbnails
) -> None:
    thumbnails.write(2, b"young")
    search._store.copies.put([2], np.zeros((1, 32), np.uint8), [100])
    notes = crashed(tmp_path, 2)
    assert search.sweep(min_age=3600) == 1
    assert thumbnails.read(2) == b"young"
    assert search._store.copies.existing([2]) == {2}
    assert notes.exists(), "it is looked at again another time"
    assert search.sweep(min_age=0) == 0
    assert thumbnails.read(2) is None
    assert search._store.copies.existing([2]) == set()


def test_the_sweep_leaves_what_a_living_process_has_noted(
    tmp_path: Path, search: ImageSearch, thumbnails: Thumbnails
) -> None:
    other = IntentLog(tmp_path / "pending")
    thumbnails.write(2, b"half way")
    with other.log_intent([2]):
        assert search.sweep(min_age=0) == 0
        assert thumbnails.read(2) == b"half way"
    other.close()
    assert list((tmp_path / "pending").glob("*")) == []


def test_what_fails_stays_noted_and_what_succeeds_does_not(
    tmp_path: Path, search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*args: object) -> None:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    search.add(png(1))
    [notes] = (tmp_path / "pending").glob("*.ids")
    assert notes.read_bytes() == b""
    with monkeypatch.context() as patched:
        patched.setattr(search._store, "put", gone)
        with pytest.raises(DatabaseUnavailable):
            search.add(png(2))
    assert len(notes.read_text().split()) == 1
    stray = int(notes.read_text())
    assert search.thumbnails.read(stray) is not None
    search.thumbnails.close()  # as if the process had ended
    assert search.sweep(min_age=0) == 0
    assert search.thumbnails.read(stray) is None


# A server that is gone, or slow: Milvus Lite's own, behind a proxy


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    from milvus_lite.server_manager import server_manager_instance

    store = MilvusStore.lite(tmp_path, "images")
    _, _, port = server_manager_instance._servers[store.connection.uri]
    with Proxy(("127.0.0.1", port)) as between:
        yield between
    store.close()


@pytest.fixture
def behind(proxy: Proxy, tmp_path: Path) -> Iterator[ImageSearch]:
    """A service that takes what is behind the proxy for a Milvus server."""
    uri = f"http://127.0.0.1:{proxy.port}"
    store = MilvusStore("images", ServerConnection(uri, timeout=1.0))
    service = fake_search(store, tmp_path, pending=tmp_path / "pending")
    yield service
    service.thumbnails.close()


@pytest.mark.parametrize("fault", ["refuse", "hold", "hang_up"])
def test_a_database_that_goes_is_told_and_comes_back_without_a_restart(
    behind: ImageSearch, proxy: Proxy, fault: str
) -> None:
    with TestClient(api(behind), raise_server_exceptions=False) as client:
        assert client.post(f"{SIM}/add/file", files=file(1)).status_code == 200
        if fault == "hang_up":
            proxy.hold()
        getattr(proxy, fault)()

        answers = {
            "search": client.post(f"{SIM}/search/file", files=file(1)),
            "add": client.post(f"{SIM}/add/file", files=file(2)),
            "del": client.post(f"{SIM}/del/key", json={"key": "a"}),
            "health": client.get("/api/health"),
        }
        for kind, answer in answers.items():
            assert answer.status_code == 503, kind
            assert answer.json()["error"]["type"] == "database-unavailable"
            assert int(answer.headers["Retry-After"]) > 0

        proxy.restore()
        deadline = time.monotonic() + PATIENCE
        while client.get("/api/health").status_code != 200:
            assert time.monotonic() < deadline, "it does not come back"
            time.sleep(0.1)
        [hit] = client.post(f"{SIM}/search/file", files=file(1)).json()["data"]
        assert hit["score"] > 0.99
        assert client.post(f"{SIM}/add/file", files=file(2)).status_code == 200


class Silence(grpc.RpcError):  # type: ignore[misc]
    """No answer within the time."""


def test_one_call_at_a_time_asks_a_silent_server_and_the_rest_are_refused_at_once(
    behind: ImageSearch,
) -> None:
    store = behind._store
    entered, answered = threading.Event(), threading.Event()

    def silent(**_: Any) -> None:
        raise Silence

    def slow(**_: Any) -> str:
        entered.set()
        answered.wait(PATIENCE)
        return "here"

    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            store._call(silent)
    got: list[str] = []
    asking = threading.Thread(target=lambda: got.append(store._call(slow)))
    asking.start()
    assert entered.wait(PATIENCE)
    with pytest.raises(DatabaseUnavailable, match="doesn't answer"):
        store.count()
    answered.set()
    asking.join()
    assert got == ["here"]
    assert store.count() == 0


def test_health_answers_while_every_other_thread_waits(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, go_on = 45, threading.Event()  # anyio has 40

    def stuck(*args: object, **options: object) -> None:
        go_on.wait(PATIENCE)
        raise DatabaseUnavailable("Milvus doesn't answer.")

    monkeypatch.setattr(search, "search", stuck)
    with TestClient(api(search)) as client:
        answers: list[int] = []

        def ask() -> None:
            answers.append(client.post(f"{SIM}/search/file", files=file(1)).status_code)

        asking = [threading.Thread(target=ask) for _ in range(threads)]
        for thread in asking:
            thread.start()
        try:
            assert client.get("/api/health").status_code == 200
            assert answers == []
        finally:
            go_on.set()
            for thread in asking:
                thread.join()
    assert answers == [503] * threads


def test_a_writer_that_waits_too_long_is_told_to_come_again(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bogv.service.WRITE_LOCK_SECONDS", 0.01)
    with search._writing:
        with pytest.raises(DatabaseUnavailable, match="try again"):
            search.add(png(1))
        with pytest.raises(DatabaseUnavailable, match="try again"):
            search.delete_ids([1])
    assert search.add(png(1)).status == "created"


# A disk that fills up


def test_a_full_disk_is_told_and_searches_go_on_and_adds_work_again(tmp_path: Path) -> None:
    namespace = mount_namespace()
    if namespace is None:
        pytest.skip("no right to make mount namespaces (`unshare`)")
    command = [*namespace, sys.executable, "-m", "tests.support.full_disk", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    seen, after = map(json.loads, done.stdout.splitlines())
    kinds = {(status, name) for status, name, _ in seen["refusals"]}
    assert kinds <= {(503, "storage-unavailable"), (503, "database-unavailable")}
    assert {name for _, name in kinds} >= {"storage-unavailable", "database-unavailable"}
    assert all("No space left" in detail for _, _, detail in seen["refusals"])
    assert set(seen["searches"]) == {200}
    assert seen["deleted"] == 200
    # What was refused may have got in; what was acknowledged must have.
    assert set(seen["acknowledged"]) <= set(seen["keys"])
    assert set(seen["acknowledged"]) <= set(after["keys"])
    assert after["lost"] == []
