from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from bogv.__main__ import main
from bogv.records import md5_of
from bogv.sources.samples import make_samples
from bogv.storage.milvus import MilvusStore
from tests.support import models
from tests.support.fakes import encoded, picture, png
from tests.support.running import ROOT, running

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    models.lend(folder)
    return folder


@pytest.fixture
def environment(data: Path) -> dict[str, str]:
    return {**os.environ, "BOGV_DATA_DIR": str(data), "BOGV_WEIGHTS": "untrained"}


@pytest.fixture
def run(environment: dict[str, str]) -> Run:
    def run_it(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bogv", *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**environment, **more},
        )
        models.keep(Path(environment["BOGV_DATA_DIR"]))
        return done

    return run_it


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for seed in range(4):
        (folder / f"p{seed}.png").write_bytes(png(seed))
    (folder / "sub" / "bad.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_bytes(b"not looked at")
    (folder / ".hidden.png").write_bytes(png(9))
    return folder


@pytest.fixture
def run_here(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs a command in this process, which then keeps the gallery to itself; returns its exit
    status and its output."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run_it(*arguments: str | Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exited:
            main(list(map(str, arguments)))
        return int(exited.value.code or 0), capsys.readouterr().out

    return run_it


def test_adding_a_folder_without_images_is_an_error_that_opens_no_gallery(
    run: Run, data: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").touch()
    done = run("add", empty)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"bogv: No images in {empty}.\n"
    assert not (data / "milvus.db").exists()


def test_commands_add_search_list_and_delete_images(
    run: Run, run_here: Callable[..., tuple[int, str]], images: Path
) -> None:
    first = run("add", images, "--key-from", "stem")
    assert first.returncode == 1
    assert first.stdout.strip() == "4 created, 0 updated, 0 unchanged, 1 failed"
    assert "bad.jpg: The bytes are no image" in first.stderr
    assert "Adding" in first.stderr

    status, text = run_here("add", images, "--key-from", "stem", "--json")
    again = json.loads(text)
    assert (status, again["unchanged"], again["failed"]) == (1, 4, 1)
    assert {image["key"] for image in again["images"][:4]} == {"p0", "p1", "p2", "p3"}
    assert again["images"][4]["error"]["type"] == "not-an-image"

    hits = json.loads(run_here("search", images / "p2.png", "--limit", "2", "--json")[1])
    assert [hits[0]["key"], len(hits)] == ["p2", 2]
    assert hits[0]["filepath"] == str(images / "p2.png")
    assert hits[0]["rarity"] is None, "of so few images"

    assert (hits[0]["match"], hits[1]["match"]) == ("exact", "similar")
    verified = run_here("search", images / "p2.png", "--limit", "1", "--verify")[1].splitlines()
    assert verified[0].split()[1] == "exact"
    assert verified[1].startswith(f"The gallery has this very file: {hits[0]['id']}.")
    copy = images.parent / "copy.jpg"
    copy.write_bytes(encoded(picture(1), "JPEG", quality=70))
    text = run_here("add", copy, "--skip-duplicates")[1]
    assert text.splitlines()[0] == "0 created, 0 updated, 0 unchanged, 1 skipped, 0 failed"
    assert f"skipped: {copy}: a copy of" in text

    listed = json.loads(run_here("list", "--json", "--limit", "3")[1])
    assert [record["key"] for record in listed] == ["p3", "p2", "p1"]
    [line] = run_here("list", "--text", "P1")[1].splitlines()
    assert "p1" in line

    deleted = run_here("delete", "--key", "p0", "--key", "nobody", "--id", str(hits[0]["id"]))
    assert deleted == (0, "2 deleted\n")
    assert run_here("delete", "--key", "p0")[0] == 1
    stats = json.loads(run_here("stats", "--json")[1])
    assert (stats["count"], stats["weights"], stats["database"]) == (2, "untrained", "Milvus Lite")
    assert "p1" in run_here("search", images / "p1.png")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["search", "/no/such.jpg"], {}, "There is no such file"),
        (["add", "/no/such"], {}, "There is no file or folder"),
        (
            [
                "search",
                __file__.replace("test_command_line.py", "embedding/canonical.png"),
                "--max-rarity",
                "0.01",
            ],
            {},
            "fewer than 15 images",
        ),
        (["calibrate"], {}, "has 0 images; at least 40"),
        (["calibrate", "--false-positive-rate", "2"], {}, "must be between 0 and 1"),
        (["stats"], {"BOGV_MAX_PIXELS": "many"}, "BOGV_MAX_PIXELS"),
        (["stats"], {"BOGV_ENGINE": "abacus"}, "BOGV_ENGINE"),
        (["stats"], {"BOGV_WEIGHTS": "/no/such.pth"}, "can't be read"),
        (["stats"], {"MILVUS_HOST": "127.0.0.1", "MILVUS_PORT": "1"}, "can't be opened"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    variables: dict[str, str],
    message: str,
) -> None:
    models.lend(tmp_path)
    defaults = {"BOGV_DATA_DIR": str(tmp_path), "BOGV_WEIGHTS": "untrained"}
    for name, value in {**defaults, **variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    line = str(exited.value.code)
    assert line.startswith("bogv: ")
    assert message in line
    assert "\n" not in line


def test_an_error_goes_to_stderr_without_a_traceback(run: Run) -> None:
    done = run("search", "/no/such.jpg")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("bogv: There is no such file")
    assert "Traceback" not in done.stderr


def test_weights_tells_what_to_copy_where_and_fails_where_there_are_none(
    run: Run, tmp_path: Path
) -> None:
    nothing = {"TORCH_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    told = run("weights", "--no-fetch", **nothing)
    assert told.returncode == 1
    assert f"\n    {tmp_path / 'hub' / 'checkpoints'}\n" in told.stdout
    values = json.loads(run("weights", "--no-fetch", "--json", **nothing).stdout)
    assert (values["used"], values["files"], values["problems"]) == (None, [], [])


def test_help_names_every_command(run: Run) -> None:
    text = run("--help").stdout
    for command in ("serve", "demo", "add", "search", "delete", "list", "stats", "weights"):
        assert command in text


def test_acknowledged_writes_survive_kill_9(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running(data) as first:
        for seed in range(5):
            form, files = {"key": f"k{seed}"}, {"file": ("a.png", png(seed))}
            answer = httpx.post(
                f"{first.url}/api/image/sim/add/file", files=files, data=form, timeout=300
            )
            assert answer.json()["code"] == 200
        deleted = httpx.post(
            f"{first.url}/api/image/sim/del/key", json={"key": "k0,k1"}, timeout=300
        )
        assert deleted.json()["data"] == 2
        first.stop(signal.SIGKILL)
    with running(data, "-m", "bogv", "serve") as second:
        assert second.health()["count"] == 3
        files = {"file": ("q.png", png(3))}
        asked = f"{second.url}/api/image/sim/search/file"
        found = httpx.post(asked, files=files, timeout=300).json()["data"]
        assert found[0]["key"] == "k3"
        # uvicorn shuts down in order, then ends by the signal that it was sent.
        assert second.stop() in {0, -signal.SIGTERM}


def test_the_import_at_start_adds_and_moves(images: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    folders = {"IMAGE_INC_PATH": str(images), "IMAGE_POOL_PATH": str(pool)}
    with running(tmp_path / "data", **folders) as server:
        for _ in range(300):
            if server.health()["count"] == 4 and len(list(pool.glob("*.png"))) == 4:
                break
            time.sleep(0.1)
        assert sorted(path.name for path in pool.iterdir()) == [f"p{i}.png" for i in range(4)]
        assert (images / "sub" / "bad.jpg").exists()
        # Paths in the pool are allowed, and the record's filepath is the one in the pool.
        body = {"path": str(pool / "p1.png"), "limit": 1}
        asked = f"{server.url}/api/image/sim/search/path"
        [hit] = httpx.post(asked, json=body, timeout=300).json()["data"]
        assert hit["filepath"] == str(pool / "p1.png")


def test_the_demo_starts_with_samples_or_with_a_folder(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    samples = make_samples(tmp_path / "samples")
    with running(data, "-m", "bogv", "demo") as first:
        assert first.health()["count"] == len(samples) >= 60
        assert httpx.get(first.url, timeout=60).status_code == 200
        # With --images, the samples are removed; the user's images stay.
        mine = data / "samples-of-mine.png"
        mine.write_bytes(png(7))
        added = httpx.post(f"{first.url}/api/image/sim/add/path", json={"path": str(mine)})
        assert added.json()["code"] == 200
    with running(data, "-m", "bogv", "demo", "--images", str(images)) as second:
        assert second.health()["count"] == 5
        root = httpx.get(f"{second.url}/api")
        assert root.status_code == 404
        assert "/api/docs" in root.json()["error"]["detail"]
        assert httpx.get(f"{second.url}/api/docs").status_code == 200


def test_sigterm_finishes_running_requests_and_stops_the_import(data: Path, tmp_path: Path) -> None:
    inc, pool, images = tmp_path / "inc", tmp_path / "pool", 1000
    inc.mkdir()
    image = png(1)
    for i in range(images):
        (inc / f"{i}.png").write_bytes(image + b"%d" % i)  # other bytes, so another image
    folders = {"IMAGE_INC_PATH": str(inc), "IMAGE_POOL_PATH": str(pool)}
    with running(data, **folders) as server:
        fingerprint = server.health()["fingerprint"]  # and the demo is still being imported
        upload = HalfSent(server.url, "late", png(2))
        server.process.send_signal(signal.SIGTERM)
        while accepts(server.url):
            time.sleep(0.01)
        assert b"200 OK" in upload.rest()
        # uvicorn shuts down in order, then ends by the signal that it was sent.
        assert server.process.wait(60) in {0, -signal.SIGTERM}
        assert "Traceback" not in server.log.read_text()
    store = MilvusStore.lite(data, "images")
    store.open(fingerprint, 2048)
    assert len(store.get_by_keys(["late"])) == 1
    moved = list(pool.glob("*.png")) if pool.exists() else []
    assert len(moved) < images, "it had ended before the signal"
    rows = {md5_of(path.read_bytes()) for path in moved}
    assert {record.md5 for record in store.get_by_keys(sorted(rows))} == rows
    store.close()


class HalfSent:
    """An upload whose first half the server has begun to read."""

    def __init__(self, url: str, key: str, image: bytes) -> None:
        host, port = url.removeprefix("http://").split(":")
        body = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part
            for part in ((b"key", b"", key.encode()), (b"file", b'; filename="a.png"', image))
        )
        body += b"--b--\r\n"
        self._later = body[len(body) // 2 :]
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        head = (
            f"POST /api/image/sim/add/file HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n"
            f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._socket.sendall(head.encode())
        assert b"100 Continue" in self._socket.recv(1000), "the server reads on"
        self._socket.sendall(body[: len(body) // 2])

    def rest(self) -> bytes:
        """Send the second half, and return the response."""
        with self._socket as connection:
            connection.sendall(self._later)
            return connection.recv(10_000)


def accepts(url: str) -> bool:
    """Whether the server accepts connections."""
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
