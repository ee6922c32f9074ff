"""`pip install .` gives a `bogv` command that serves the demo from any folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from bogv import __version__
from tests.support import models
from tests.support.fakes import png
from tests.support.running import ROOT

PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--isolated"]
START_SECONDS = 300  # after which a server that hasn't answered is taken for dead


def pip(*arguments: str | Path) -> None:
    """Without an index: nothing is downloaded."""
    done = subprocess.run([*PIP, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since building leaves files beside the sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "requirements.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("bogv", "eval", "tools"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", out, source)
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bogv alone; what it depends on is the environment's."""
    folder = tmp_path_factory.mktemp("target")
    pip("install", "--no-index", "--no-deps", "--target", folder, wheel)
    return folder


@pytest.fixture
def environment(target: Path) -> dict[str, str]:
    """Without the checkout: `bogv` is found in the target alone."""
    return {**os.environ, "PYTHONPATH": str(target), "BOGV_WEIGHTS": "untrained"}


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_all_of_bogv_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"bogv-{__version__}-py3-none-any.whl"
    paths = [path for path in (ROOT / "bogv").rglob("*") if path.is_file()]
    there = {str(p.relative_to(ROOT)) for p in paths if "__pycache__" not in p.parts}
    assert {"bogv/ui/style.css", "bogv/ui/page.js", "bogv/ui/favicon.svg"} < there
    assert {name for name in files(wheel) if ".dist-info/" not in name} == there


def test_the_metadata_is_that_of_the_project(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        folder = f"bogv-{__version__}.dist-info"
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode("utf-8"))
        scripts = archive.read(f"{folder}/entry_points.txt").decode("utf-8")
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert metadata["Version"] == __version__
    assert metadata["License-Expression"] == "GPL-3.0-only"
    assert set(metadata["Requires-Python"].split(",")) == {">=3.10", "<3.14"}
    assert "Operating System :: POSIX" in metadata.get_all("Classifier", [])
    assert "bogv = bogv.__main__:main" in scripts
    lines = (ROOT / "requirements.in").read_text("utf-8").splitlines()
    wanted = {str(Requirement(line)) for line in lines if line and not line.startswith("#")}
    needed = {str(Requirement(each)) for each in metadata.get_all("Requires-Dist", [])}
    assert needed == wanted


def test_the_command_explains_itself_in_any_folder(
    target: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(target / "bin" / "bogv"), "--help"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Search images by image." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def client(target: Path, environment: dict[str, str], tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of `bogv serve` from the wheel, started in an empty folder."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    models.lend(tmp_path / "data")
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(target / "bin" / "bogv"), "serve"],
            cwd=tmp_path,
            env=environment | {"API_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=url, trust_env=False, timeout=START_SECONDS) as client:
            wait_for(client, process, log)
            yield client
    finally:
        process.terminate()
        process.wait()


def wait_for(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until health answers."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            client.get("/api/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text("utf-8"))


def test_the_command_serves_the_demo_from_any_folder(client: httpx.Client, tmp_path: Path) -> None:
    assert client.get("/api/health").json()["data"]["status"] == "ok"
    # The sandbox for decoding finds the installed bogv, too.
    image = {"file": ("a.png", png(1))}
    sim = "/api/image/sim"
    assert client.post(f"{sim}/add/file", files=image, data={"key": "a"}).json()["data"] is True
    hits = client.post(f"{sim}/search/file", files=image).json()["data"]
    assert [hit["key"] for hit in hits] == ["a"]
    page = client.get("/").text
    assert "Search images by image" in page
    assert ".bogv-head" in page, "the style sheet"
    icon = (ROOT / "bogv" / "ui" / "favicon.svg").read_bytes()
    assert client.get("/favicon.ico").content == icon
    assert (tmp_path / "data" / "milvus.db").exists()
