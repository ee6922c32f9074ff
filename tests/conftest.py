"""Fixtures that more than one test file uses."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import pytest
from fastapi.testclient import TestClient

from bogv.service import ImageSearch
from bogv.sources.samples import make_samples
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails
from tests.support import models
from tests.support.fakes import fake_search
from tests.support.milvus_server import MilvusServer, available

# No test is timed: a busy machine fails none.
hypothesis.settings.register_profile("bogv", deadline=None)
hypothesis.settings.load_profile("bogv")

SERVER = pytest.StashKey[MilvusServer]()
MILVUS = "milvus"
OpenStore = Callable[[], MilvusStore]

SHARED_PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "clothing"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """With BOGV_REQUIRE_ALL=1, as in CI, a test that would be skipped fails."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("BOGV_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, but BOGV_REQUIRE_ALL=1: {call.excinfo}"


def pytest_configure(config: pytest.Config) -> None:
    """The workers of a parallel run inherit the environment of the process that starts them.

    One thread for OpenMP and OpenBLAS: those of several workers would spin for each other.
    """
    for library in ("OMP", "OPENBLAS"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    if models.FOLDER not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="bogv-tests-")
        os.environ[models.FOLDER] = folder.name
        config.add_cleanup(folder.cleanup)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run in parallel, tests that share a fixture of their folder are one worker's, so that it is
    made once.

    All tests on the Milvus server are, too: they mostly wait, and there is one server. They begin.
    """
    for item in items:
        group = _group_of(item)
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    first = {MILVUS: 0, None: 2}
    items.sort(key=lambda item: first.get(_group_of(item), 1))


def pytest_collection_finish() -> None:
    """What is imported by now stays: looking through it again and again for garbage took a tenth of
    the processor time."""
    gc.collect()
    gc.freeze()


def _group_of(item: pytest.Item) -> str | None:
    """The folder whose fixtures the test shares, or MILVUS; None if it shares none."""
    if "milvus_server" in getattr(item, "fixturenames", ()) or item.get_closest_marker("server"):
        return MILVUS
    info = getattr(item, "_fixtureinfo", None)
    definitions = info.name2fixturedefs.values() if info else ()
    shares = any(each.scope == "package" for found in definitions for each in found)
    return item.nodeid.partition("::")[0].rpartition("/")[0] if shares else None


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the Milvus server after the last of its tests: idle, it takes a tenth of a core."""
    server = item.config.stash.get(SERVER, None)
    if server and not (nextitem and _group_of(nextitem) == MILVUS):
        server.stop()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Files as parameters have no ids of their bytes: an archive holds the time of its making, and
    all workers must collect the same ids."""
    return argname if isinstance(val, bytes) and len(val) > 40 else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadgroup`, a file's tests stay together too: they share its fixtures."""
    from xdist.scheduler import LoadGroupScheduling  # only where there is xdist

    class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return str(super()._split_scope(nodeid)).split("::")[0]

    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set on the machine is not for the tests."""
    for name in list(os.environ):
        if name.startswith(("BOGV_", "MILVUS_", "IMAGE_")) and name != "BOGV_REQUIRE_ALL":
            monkeypatch.delenv(name)
    for name in ("TOKEN", "API_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real photos: those beside the repository, else the samples."""
    found = sorted(SHARED_PHOTOS.rglob("*.jpg"))
    return found or make_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def milvus_server(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[MilvusServer]:
    """A started Milvus server; skips where none can run."""
    if reason := available():
        pytest.skip(reason)
    data = tmp_path_factory.mktemp("milvus")
    with MilvusServer(data) as server:
        pytestconfig.stash[SERVER] = server
        yield server
    # 300 MB of unpacked programs, and pytest keeps the folders of three runs. The logs may stay.
    shutil.rmtree(data / "bin", ignore_errors=True)


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is uploaded to the demo is the test's own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))


@pytest.fixture
def client_with(search: ImageSearch, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """Opens clients of the demo on the module's own `search`, with these settings."""
    from tests.support.demo import demo_client  # imports gradio, which takes seconds

    with ExitStack() as opened:
        yield lambda *args, **settings: opened.enter_context(
            demo_client(search, tmp_path, *args, **settings)
        )


@pytest.fixture(scope="session")
def server_gallery() -> str:
    """The gallery on the server that tests share: creating a collection takes 3 s."""
    return f"images_{uuid4().hex}"


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.server)])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, server_gallery: str
) -> Iterator[OpenStore]:
    """A function that opens an empty gallery, on Milvus Lite and on a Milvus server; called again,
    it opens the same one."""
    if request.param == "lite":
        yield lambda: MilvusStore.lite(tmp_path / "lite", "images")
        return
    host, port = request.getfixturevalue("milvus_server").address
    yield lambda: MilvusStore.server(host, port, server_gallery)
    store = MilvusStore.server(host, port, server_gallery)
    while records := store.newest(None, 1000):
        store.delete([record.id for record in records])
    store.copies.delete(store.copies.get_ids_between(0, 2**63 - 1))
    store.close()


@pytest.fixture
def thumbnails(tmp_path: Path) -> Thumbnails:
    return Thumbnails(str(tmp_path / "thumbnails"))


@pytest.fixture
def start(open_store: OpenStore, tmp_path: Path) -> Callable[[], ImageSearch]:
    """A function that starts a service on the gallery of `open_store`."""
    return lambda: fake_search(open_store(), tmp_path, max_bytes=1_000_000, max_pixels=10_000_000)


@pytest.fixture
def search(start: Callable[[], ImageSearch]) -> Iterator[ImageSearch]:
    """The service, for modules that have no `search` of their own."""
    service = start()
    yield service
    service.close()
