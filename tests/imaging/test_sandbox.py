"""Whatever a file makes its decoder do, it costs a bounded time and memory, and one picture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from bogv.errors import BogvError, DamagedImage, Overloaded, TooCostly, Unavailable
from bogv.imaging import sandbox
from bogv.imaging.bounds import BYTES_IN_TIME, PIXELS_IN_TIME, allowed_memory, allowed_seconds
from bogv.imaging.decoder import Decoder
from bogv.imaging.frames import send
from tests.imaging.support.bombs import ANY, MEBIBYTE, bombs, jpeg2000_layers
from tests.support.fakes import encoded, picture, png
from tests.support.memory import forget, peak
from tests.support.running import ROOT, running

MAX_PIXELS = 64_000_000
SECONDS = 0.3


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with closing(Decoder(20 * MEBIBYTE, MAX_PIXELS, seconds=30)) as made:
        yield made


def test_a_bomb_costs_the_server_neither_time_nor_memory() -> None:
    """In a process of its own, which tells how much it computed and grew by."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.imaging.test_sandbox"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    each_bomb = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(each_bomb) >= 35
    assert not [each for each in each_bomb if not each["expected"] or each["grown"] > 100]
    assert not [each for each in each_bomb if each["computed"] > SECONDS]


def explode() -> None:
    """Decode each bomb; one line of JSON for each: what came, what it cost this process."""
    decoder = Decoder(20 * MEBIBYTE, MAX_PIXELS)
    files = list(bombs())
    decoder.decode(encoded(picture(1, (2000, 1500))), thumbnail=True)
    decoder.seconds = SECONDS  # not for the process' start and first image on a busy machine
    for name, data, errors in files:
        if sys.platform == "linux":
            forget()  # making the files took more than the bombs may
        before, start = peak(), time.process_time()
        try:
            came = type(decoder.decode(data, thumbnail=True)).__name__
            expected = errors == ANY
        except BogvError as error:
            came, expected = f"{type(error).__name__}: {error}", isinstance(error, errors)
        told = {"name": name, "came": came, "expected": expected}
        told["computed"] = time.process_time() - start
        told["grown"] = (peak() - before) // MEBIBYTE
        print(json.dumps(told))
    decoder.close()


def test_the_next_picture_is_decoded_after_a_bomb() -> None:
    with closing(Decoder(100_000, MAX_PIXELS, SECONDS)) as decoder:
        with pytest.raises(TooCostly, match=r"longer than 0\.3 s"):
            decoder.decode(jpeg2000_layers())
        decoder.seconds = 30
        assert decoder.decode(png(1)).width == 320


def test_a_large_picture_may_take_longer() -> None:
    assert allowed_seconds(10, 1, 1 << 30) == allowed_seconds(10, PIXELS_IN_TIME, 1 << 30) == 10
    assert allowed_seconds(10, 4 * PIXELS_IN_TIME, 4 * BYTES_IN_TIME) == 40
    assert allowed_seconds(10, 4 * PIXELS_IN_TIME, 2 * BYTES_IN_TIME) == 20


def test_a_header_that_claims_many_pixels_buys_no_time() -> None:
    assert allowed_seconds(10, 4 * PIXELS_IN_TIME, 144) == 10


def test_an_image_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WAIT_SECONDS", 0.01)
    with closing(Decoder(100_000, MAX_PIXELS, seconds=60)) as decoder, ThreadPoolExecutor() as pool:
        bombs = [
            pool.submit(decoder.decode, jpeg2000_layers()) for _ in range(decoder.sandbox.most)
        ]
        while len(decoder.sandbox._busy) < decoder.sandbox.most:
            time.sleep(0.01)
        with pytest.raises(Overloaded):
            decoder.decode(png(1))
        decoder.close()  # the busy ones too: no process outlives its server
        assert all(isinstance(bomb.exception(), Unavailable) for bomb in bombs)
        assert not decoder.sandbox._busy


def test_a_crash_costs_one_picture(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.decode(png(1))
    [worker] = decoder.sandbox._idle

    def send_and_crash(*frame: Any) -> None:
        send(*frame)
        os.kill(worker._process.pid, signal.SIGSEGV)

    monkeypatch.setattr(sandbox, "send", send_and_crash)
    with pytest.raises(DamagedImage, match="crash"):
        decoder.decode(jpeg2000_layers())
    monkeypatch.undo()
    assert decoder.decode(png(1)).width == 320


def test_a_process_that_died_while_it_was_idle_costs_nothing(decoder: Decoder) -> None:
    decoder.decode(png(1))
    [worker] = decoder.sandbox._idle
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert decoder.decode(png(1)).width == 320


def test_without_a_process_nothing_is_decoded_and_the_image_is_not_blamed(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("/does/not/exist", "/bin/false"):
        monkeypatch.setattr("sys.executable", program)
        with pytest.raises(Unavailable, match="process"):
            decoder.decode(png(1))
    monkeypatch.undo()
    assert decoder.decode(png(1)).width == 320


def test_an_answer_that_is_nonsense_is_no_picture(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a picture might give that has taken its process over."""
    answers = [
        '{"size": [1, 1], "pixels": 1}',
        '{"size": "x"}',
        '{"error": "internal-error", "detail": "x"}',
        "[]",
        "{",
        "x" * 70_000,
    ]
    for answer in answers:
        program = (
            "import socket, struct, sys; s = socket.socket(fileno=0);"
            "frame = lambda text: s.sendall(struct.pack('<IQ', len(text), 0) + text);"
            f"frame(b'{{}}'); s.recv(1); frame({answer.encode()!r})"
        )
        monkeypatch.setattr(sandbox, "_START", program)
        with pytest.raises(DamagedImage):
            decoder.decode(png(1))
        decoder.close()
    large = (
        "import socket, struct; socket.socket(fileno=0).sendall(struct.pack('<IQ', 2, 0) + b'{}'"
    )
    large += " + struct.pack('<IQ', 2, 2**40) + b'{}')"
    monkeypatch.setattr(sandbox, "_START", large)
    with pytest.raises(DamagedImage):
        decoder.decode(png(1))


def test_no_more_processes_than_agreed_and_none_after_the_end() -> None:
    decoder = Decoder(100_000, 1_000_000)
    with ThreadPoolExecutor(12) as threads:
        assert len(list(threads.map(decoder.decode, [png(seed) for seed in range(48)]))) == 48
    workers = list(decoder.sandbox._idle)
    assert 1 <= len(workers) <= decoder.sandbox.most <= sandbox.MOST
    decoder.close()
    assert all(worker._process.returncode is not None for worker in workers)
    assert decoder.decode(png(1)).width == 320  # used again, it begins anew
    decoder.close()


CONFINED = """
import os, socket
from bogv.imaging import worker
worker._prepare_pillow()
worker._confine()
for attempt in (
    lambda: open("/etc/passwd"), lambda: socket.socket(), lambda: os.pipe(), lambda: os.dup(0)
):
    try:
        attempt()
    except OSError:
        continue
    os._exit(1)
"""


def test_a_process_opens_no_file_and_no_connection() -> None:
    assert subprocess.run([sys.executable, "-c", CONFINED], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_knows_no_secret_and_has_limits(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    decoder.decode(png(1))
    [worker] = decoder.sandbox._idle
    process = Path("/proc", str(worker._process.pid))
    assert b"hunter2" not in (process / "environ").read_bytes()
    limits = (process / "limits").read_text()
    for name in ("file size", "core file size", "processes", "open files"):
        assert f"Max {name}".ljust(26) + "0 " in limits
    [space] = [line.split() for line in limits.splitlines() if "address space" in line]
    assert int(space[3]) < allowed_memory(MAX_PIXELS, 1_000_000) + 500 * MEBIBYTE
    opened = {str(each.readlink()) for each in (process / "fd").iterdir()}
    assert {each.partition(":")[0] for each in opened} == {"socket", "/dev/null"}


def test_health_answers_while_a_bomb_is_decoded(tmp_path: Path) -> None:
    """2.5 kB of JPEG 2000 held Python's lock for as long as they took to decode."""
    with running(tmp_path / "data", BOGV_DECODE_SECONDS="5") as server:
        search = f"{server.url}/api/image/sim/search/file"
        answered = threading.Event()

        def explode() -> httpx.Response:
            try:
                return httpx.post(
                    search, files={"file": jpeg2000_layers()}, trust_env=False, timeout=120
                )
            finally:
                answered.set()

        with ThreadPoolExecutor(1) as thread:
            bomb = thread.submit(explode)
            meanwhile = 0
            while not answered.is_set():
                assert server.health()["status"] == "ok"
                meanwhile += not answered.is_set()
            refused = bomb.result()
        assert (refused.status_code, refused.json()["error"]["type"]) == (413, "too-costly")
        assert meanwhile >= 10


if __name__ == "__main__":
    explode()
