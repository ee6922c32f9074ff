"""Errors of the configuration are reported before slow steps of the start; later ones by health."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv import __main__ as command_line
from bogv import bootstrap
from bogv.config import Settings
from bogv.errors import StorageUnavailable, Unavailable
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.api import create_api
from bogv.web.connections import listen
from tests.support.fakes import lite_search, png
from tests.support.full_disk import mount_namespace
from tests.support.running import ROOT


@pytest.fixture
def taken() -> Iterator[int]:
    """A port in use."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_an_error_for_a_port_in_use_names_the_variable_to_set(taken: int, host: str) -> None:
    with pytest.raises(Unavailable, match=f"Port {taken} .* API_PORT"):
        listen(host, taken)


@pytest.mark.parametrize("host", ["203.0.113.7", "nobody.invalid"])
def test_an_address_of_another_machine_is_a_clear_error(host: str) -> None:
    with pytest.raises(Unavailable, match="BOGV_HOST"):
        listen(host, 0)


def test_a_second_listener_on_a_port_is_rejected() -> None:
    [listener] = listen("127.0.0.1", 0)
    with listener:
        with pytest.raises(Unavailable, match="in use"):
            listen("127.0.0.1", listener.getsockname()[1])
        with socket.create_connection(listener.getsockname()):  # the first one is still listening
            pass


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_port_in_use_is_detected_before_the_gallery_is_opened(
    taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def loaded(_: Settings) -> ImageSearch:
        pytest.fail("the gallery was opened first")

    monkeypatch.setattr(command_line, "open_search", loaded)
    monkeypatch.setattr("bogv.logs.configure", lambda _: None)
    monkeypatch.setenv("API_PORT", str(taken))
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(SystemExit, match="API_PORT"):
        command_line.main([command])
    assert not (tmp_path / "data").exists()


def test_a_port_in_use_is_detected_before_pymilvus_and_gradio_are_imported() -> None:
    """They take seconds to import where the disk's cache is cold."""
    script = "import bogv.__main__, bogv.web.connections, sys; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    slow = {"pymilvus", "pandas", "milvus_lite", "gradio", "torch", "openvino", "cv2", "sklearn"}
    assert not slow & set(done.stdout.split())


def test_a_misspelt_variable_is_a_warning_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("BOGV_WEIGTHS", "untrained")
    with pytest.raises(StorageUnavailable):  # it goes on to the next step
        bootstrap.open_search(Settings(data_dir=tmp_path / "a file"))
    [warning] = caplog.messages
    assert warning.endswith("BOGV_WEIGTHS: it is ignored. Did you mean BOGV_WEIGHTS?")


# The data folder


@pytest.mark.parametrize("below", ["a file", "a file/data"])
def test_a_data_path_that_is_not_a_folder_is_a_clear_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StorageUnavailable, match="BOGV_DATA_DIR"):
        bootstrap.open_search(Settings(data_dir=tmp_path / below))


def test_a_read_only_data_folder_is_an_error_of_one_line(tmp_path: Path) -> None:
    namespace = mount_namespace()
    if namespace is None:
        pytest.skip("no right to make mount namespaces (`unshare`)")
    script = f"mount -t tmpfs -o ro tmpfs '{tmp_path}' && BOGV_DATA_DIR='{tmp_path}' exec $0 $@"
    command = [*namespace, "sh", "-c", script, sys.executable, "-m", "bogv", "stats"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        f"bogv: The data folder {tmp_path} isn't writable: Read-only file system."
        " Give bogv write access to it, or set BOGV_DATA_DIR to another folder."
    )
    assert "Traceback" not in done.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def client(data: Path) -> Iterator[TestClient]:
    data.mkdir()
    service = lite_search(data)
    app = FastAPI()
    app.mount("/api", create_api(Settings(), service, Sources([], 100_000)))
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened
    service.close()


def health(client: TestClient) -> tuple[int, str, str]:
    answer = client.get("/api/health")
    error = answer.json().get("error") or {"type": "", "detail": ""}
    return answer.status_code, error["type"], error["detail"]


@pytest.mark.parametrize("what", [".", "*.db", "thumbnails"])
def test_health_reports_a_deleted_data_folder(client: TestClient, data: Path, what: str) -> None:
    assert health(client) == (200, "", "")
    for path in data.glob(what) if what != "." else [data]:
        shutil.rmtree(path)
    status, name, detail = health(client)
    assert (status, name) == (503, "storage-unavailable")
    assert str(data) not in detail
    metrics = client.get("/api/metrics").text
    assert "bogv_database_up 0.0" in metrics
    assert client.post("/api/image/sim/add/file", files={"file": png(1)}).status_code == 503


def test_health_reports_a_replaced_data_folder(client: TestClient, data: Path) -> None:
    shutil.copytree(data, data.with_name("copy"))
    shutil.rmtree(data)
    data.with_name("copy").rename(data)
    assert health(client)[:2] == (503, "storage-unavailable")


@pytest.mark.parametrize("entry", ["app", "eval.scale.measure"])
def test_arrow_allocates_with_the_systems_allocator(entry: str) -> None:
    """Arrow chooses once, as it is loaded: too late is without effect, and nothing says so."""
    script = f"import {entry}, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {n: v for n, v in os.environ.items() if n != "ARROW_DEFAULT_MEMORY_POOL"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "system"
