"""What fails around bogv: kills, a database that is gone or slow, damaged folders, a full disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pymilvus import DataType

from bogv.bootstrap import open_sources
from bogv.config import Settings
from bogv.errors import BogvError, DatabaseUnavailable, GalleryMismatch, StorageUnavailable
from bogv.service import ImageSearch
from bogv.storage.intent_log import Pending
from bogv.storage.milvus import MilvusStore
from bogv.storage.schema import collection_schema
from bogv.storage.server import ServerConnection
from bogv.storage.thumbnails import Thumbnails
from bogv.web.api import create_api
from tests.support.fakes import fake_search, lite_search, png
from tests.support.killing import Place, is_refused, kill_many, told_by
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


def test_a_thumbnail_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnails = Thumbnails(str(tmp_path))
    thumbnails.write(1, b"old")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as cut:
            cut.write(data[:1])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        for image_id in (1, 2):
            with pytest.raises(StorageUnavailable, match="No space"):
                thumbnails.write(image_id, b"new")
    assert (thumbnails.read(1), thumbnails.read(2)) == (b"old", None)
    assert [path.name for path in tmp_path.iterdir()] == ["1.webp"]


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
    part = tmp_path / "thumbnails" / "3.f00.part"
    part.write_bytes(b"half")
    notes = crashed(tmp_path, there, 2, 3, cut_short="9")

    assert search.sweep(min_age=0) == 0

    left = {path.name for path in (tmp_path / "thumbnails").iterdir()}
    assert left == {f"{there}.webp", "4.webp"}
    assert not notes.exists()


def test_the_sweep_leaves_what_another_server_may_be_adding(
    tmp_path: Path, search: ImageSearch, thumbnails: Thumbnails
) -> None:
    thumbnails.write(2, b"young")
    notes = crashed(tmp_path, 2)
    assert search.sweep(min_age=3600) == 1
    assert thumbnails.read(2) == b"young"
    assert notes.exists(), "it is looked at again another time"
    assert search.sweep(min_age=0) == 0
    assert thumbnails.read(2) is None


def test_the_sweep_leaves_what_a_living_process_has_noted(
    tmp_path: Path, search: ImageSearch, thumbnails: Thumbnails
) -> None:
    other = Pending(tmp_path / "pending")
    thumbnails.write(2, b"half way")
    with other.noted([2]):
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


def test_a_folder_that_takes_no_notes_stops_no_add(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pending").write_text("a file where the folder would be")
    with Pending(tmp_path / "pending").noted([1]):
        pass
    assert "can't be noted" in caplog.text


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

    def stuck(*args: object) -> None:
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
    monkeypatch.setattr("bogv.service.WRITER_SECONDS", 0.01)
    with search._writing:
        with pytest.raises(DatabaseUnavailable, match="try again"):
            search.add(png(1))
        with pytest.raises(DatabaseUnavailable, match="try again"):
            search.delete_ids([1])
    assert search.add(png(1)).status == "created"


# Folders that are damaged, or of another version. Each is opened by a process of its own: Milvus
# Lite keeps what it has open for as long as its process lives.


def opened(folder: Path, *seeds: int) -> str:
    """What a process that opens the gallery, adds these and searches it has to tell."""
    return told_by(_open, folder, seeds)


def _open(folder: Path, seeds: tuple[int, ...]) -> str:
    try:
        search = lite_search(folder)
    except BogvError as error:
        return f"{type(error).__name__} {error}"
    for seed in seeds:
        search.add(png(seed), f"k{seed}")
    return "|".join(sorted(hit.record.key for hit in search.search(png(1)).hits))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of three images, closed."""
    folder = tmp_path_factory.mktemp("whole")
    assert opened(folder, 1, 2) == "k1|k2"
    assert opened(folder, 3) == "k1|k2|k3"
    return folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(path: Path) -> None:
    path.write_bytes(b"\x93garbage" * 100)


COLLECTION = "milvus.db/collections/images_fake0000"
DATA = f"{COLLECTION}/partitions/*/data/*.parquet"


@pytest.mark.parametrize(
    ("pattern", "damage", "told"),
    [
        (f"{COLLECTION}/manifest.json", halve, "manifest.json can't be read"),
        (f"{COLLECTION}/manifest.json", garbage, "manifest.json can't be read"),
        (f"{COLLECTION}/manifest.json", Path.unlink, "manifest.json is missing"),
        (f"{COLLECTION}/schema.json", Path.unlink, "schema.json is missing"),
        (f"{COLLECTION}/schema.json", garbage, "If"),
        ("milvus.db/aliases.json", garbage, "If"),
        (DATA, Path.unlink, ".parquet is missing"),
        (DATA, halve, "If"),
        (DATA, garbage, "If"),
    ],
)
def test_a_damaged_folder_is_refused_and_nothing_in_it_is_removed(
    copy: Path, pattern: str, damage: Callable[[Path], None], told: str
) -> None:
    damage(min(copy.glob(pattern)))
    before = {path: path.stat().st_size for path in copy.rglob("*.parquet")}
    answer = opened(copy)
    assert answer.startswith("DatabaseUnavailable")
    assert told in answer
    assert "Restore it from a backup, or move it away" in answer
    assert {path: path.stat().st_size for path in copy.rglob("*.parquet")} == before


@pytest.mark.parametrize("damage", [halve, garbage, Path.unlink])
def test_a_damaged_index_is_built_again(copy: Path, damage: Callable[[Path], None]) -> None:
    for path in copy.glob(f"{COLLECTION}/partitions/*/indexes/*"):
        damage(path)
    assert opened(copy) == "k1|k2|k3"


def test_a_gallery_whose_making_was_killed_is_made(copy: Path) -> None:
    collection = copy / COLLECTION
    for path in sorted(collection.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (copy / "milvus.db/aliases.json").unlink()
    assert opened(copy, 1) == "k1"


def test_a_gallery_left_without_its_index_gets_it(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "images")
    store._client.create_collection("images_fake0000", schema=collection_schema(2048))
    store._client.create_alias("images_fake0000", "images")
    assert store._client.list_indexes("images") == []
    store.open("fake0000", 2048)
    assert store._client.list_indexes("images") == ["embedding"]
    store.close()


def test_a_folder_of_a_newer_milvus_lite_is_refused(copy: Path) -> None:
    path = copy / COLLECTION / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "manifest_format_version": 3}))
    assert "was written by a newer Milvus Lite" in opened(copy)


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "milvus.db").write_bytes(b"an older Milvus Lite kept a file")
    with pytest.raises(DatabaseUnavailable, match="Milvus Lite can't use"):
        MilvusStore.lite(tmp_path, "images")


def test_a_gallery_of_another_version_of_bogv_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newer_schema(dimension: int) -> Any:
        fields = collection_schema(dimension)
        fields.add_field("colour", DataType.INT32)
        return fields

    newer = MilvusStore.lite(tmp_path, "images")
    with monkeypatch.context() as patched:
        patched.setattr("bogv.storage.schema.collection_schema", newer_schema)
        newer.open("fake0000", 2048)
    store = MilvusStore.lite(tmp_path, "images")
    with pytest.raises(GalleryMismatch, match=r"another version of bogv.*colour.*Use that version"):
        store.open("fake0000", 2048)
    newer.close()


def test_a_gallery_of_other_weights_says_what_to_do(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "images")
    store.open("weights1", 2048)
    with pytest.raises(GalleryMismatch, match=r"set BOGV_WEIGHTS.*another BOGV_DATA_DIR"):
        store.open("weights2", 2048)
    store.close()


# A disk that fills up


def own_mounts() -> list[str] | None:
    """The command that gives a process mounts of its own here; None where nothing does."""
    for user in ([], ["--map-root-user"]):
        command = ["unshare", *user, "--mount"]
        with suppress(FileNotFoundError, subprocess.CalledProcessError):
            probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            subprocess.run(probe, capture_output=True, check=True)
            return command
    return None


def test_a_full_disk_is_told_and_searches_go_on_and_adds_work_again(tmp_path: Path) -> None:
    namespace = own_mounts()
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
