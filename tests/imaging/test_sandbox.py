"""A file that attacks its decoder costs bounded time and memory, and fails alone."""

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
from bogv.imaging.bounds import BASE_BYTES, BASE_PIXELS, allowed_memory, allowed_seconds
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
    with closing(Decoder(20 * MEBIBYTE, MAX_PIXELS, seconds=30)) as new_decoder:
        yield new_decoder


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
def test_a_decompression_bomb_costs_the_server_neither_time_nor_memory(step: int) -> None:
    """`explode` runs in a process of its own, which reports its CPU time and memory growth."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.imaging.test_sandbox", str(step)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) >= 35 // step
    assert not [each for each in results if not each["expected"] or each["grown"] > 100]
    assert not [each for each in results if each["cpu_seconds"] > SECONDS]


def explode(step: int) -> None:
    """Decode every `step`-th bomb and print a line of JSON: its outcome, CPU seconds and MiB of
    growth."""
    decoder = Decoder(20 * MEBIBYTE, MAX_PIXELS)
    files = list(bombs())[::step]
    decoder.decode(encoded(picture(1, (2000, 1500))), thumbnail=True)
    decoder.seconds = SECONDS  # only now: starting the process may take longer on a busy machine
    for name, data, errors in files:
        if sys.platform == "linux":
            forget()  # making the files took more memory than a bomb may
        before, start = peak(), time.process_time()
        try:
            outcome = type(decoder.decode(data, thumbnail=True)).__name__
            expected = errors == ANY
        except BogvError as error:
            outcome, expected = f"{type(error).__name__}: {error}", isinstance(error, errors)
        result = {"name": name, "outcome": outcome, "expected": expected}
        result["cpu_seconds"] = time.process_time() - start
        result["grown"] = (peak() - before) // MEBIBYTE
        print(json.dumps(result))
    decoder.close()


def test_the_next_image_is_decoded_after_a_bomb() -> None:
    with closing(Decoder(100_000, MAX_PIXELS, SECONDS)) as decoder:
        with pytest.raises(TooCostly, match=r"longer than 0\.3 s"):
            decoder.decode(jpeg2000_layers())
        decoder.seconds = 30
        assert decoder.decode(png(1)).width == 320


def test_a_large_image_is_allowed_more_time() -> None:
    assert allowed_seconds(10, 1, 1 << 30) == allowed_seconds(10, BASE_PIXELS, 1 << 30) == 10
    assert allowed_seconds(10, 4 * BASE_PIXELS, 4 * BASE_BYTES) == 40
    assert allowed_seconds(10, 4 * BASE_PIXELS, 2 * BASE_BYTES) == 20


def test_a_header_that_claims_many_pixels_gains_no_time() -> None:
    assert allowed_seconds(10, 4 * BASE_PIXELS, 144) == 10


def test_an_image_waits_a_bounded_time_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "WAIT_SECONDS", 0.01)
    with closing(Decoder(100_000, MAX_PIXELS, seconds=60)) as decoder, ThreadPoolExecutor() as pool:
        bombs = [
            pool.submit(decoder.decode, jpeg2000_layers())
            for _ in range(decoder.sandbox.max_processes)
        ]
        while len(decoder.sandbox._busy) < decoder.sandbox.max_processes:
            time.sleep(0.01)
        with pytest.raises(Overloaded):
            decoder.decode(png(1))
        decoder.close()  # busy processes, too: none outlives its server
        assert all(isinstance(bomb.exception(), Unavailable) for bomb in bombs)
        assert not decoder.sandbox._busy


def test_a_crash_fails_one_image_only(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_idle_process_that_died_is_replaced(decoder: Decoder) -> None:
    decoder.decode(png(1))
    [worker] = decoder.sandbox._idle
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert decoder.decode(png(1)).width == 320


def test_a_process_that_cannot_start_raises_unavailable(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("/does/not/exist", "/bin/false"):
        monkeypatch.setattr("sys.executable", program)
        with pytest.raises(Unavailable, match="process"):
            decoder.decode(png(1))
    monkeypatch.undo()
    assert decoder.decode(png(1)).width == 320


def test_an_invalid_response_of_the_process_raises_damaged_image(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A malicious image that has taken over its process could send one."""
    responses = [
        '{"size": [1, 1], "pixels": 1}',
        '{"size": "x"}',
        '{"error": "internal-error", "detail": "x"}',
        "[]",
        "{",
        "x" * 70_000,
        '{"size": [1, 1], "quality": 1, "reduced": [0, 0, 0]}',  # and no pixels
        '{"size": [1, 1], "quality": Infinity, "reduced": [1, 1, 3]}',
    ]
    for response in responses:
        program = (
            "import socket, struct, sys; s = socket.socket(fileno=0);"
            "frame = lambda text: s.sendall(struct.pack('<IQ', len(text), 0) + text);"
            f"frame(b'{{}}'); s.recv(1); frame({response.encode()!r})"
        )
        monkeypatch.setattr(sandbox, "_WORKER_PROGRAM", program)
        with pytest.raises(DamagedImage):
            decoder.decode(png(1))
        decoder.close()
    large = (
        "import socket, struct; socket.socket(fileno=0).sendall(struct.pack('<IQ', 2, 0) + b'{}'"
    )
    large += " + struct.pack('<IQ', 2, 2**40) + b'{}')"
    monkeypatch.setattr(sandbox, "_WORKER_PROGRAM", large)
    with pytest.raises(DamagedImage):
        decoder.decode(png(1))


def test_the_number_of_processes_is_bounded_and_all_end_with_the_decoder() -> None:
    decoder = Decoder(100_000, 1_000_000)
    with ThreadPoolExecutor(12) as threads:
        assert len(list(threads.map(decoder.decode, [png(seed) for seed in range(48)]))) == 48
    workers = list(decoder.sandbox._idle)
    assert 1 <= len(workers) <= decoder.sandbox.max_processes <= sandbox.MAX_PROCESSES
    decoder.close()
    assert all(worker._process.returncode is not None for worker in workers)
    assert decoder.decode(png(1)).width == 320  # a closed decoder starts new processes
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


def test_a_process_cannot_open_files_or_connections() -> None:
    assert subprocess.run([sys.executable, "-c", CONFINED], cwd=ROOT, check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_inherits_no_secret_and_has_limits(
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
    """Decoding in the server's own process would hold Python's global lock all the while."""
    with running(tmp_path / "data", BOGV_DECODE_SECONDS="2") as server:
        search = f"{server.url}/api/image/sim/search/file"
        answered = threading.Event()

        def search_with_bomb() -> httpx.Response:
            try:
                return httpx.post(
                    search, files={"file": jpeg2000_layers()}, trust_env=False, timeout=120
                )
            finally:
                answered.set()

        with ThreadPoolExecutor(1) as thread:
            bomb = thread.submit(search_with_bomb)
            checks = 0
            while not answered.is_set():
                assert server.health()["status"] == "ok"
                checks += not answered.is_set()
                time.sleep(0.02)
            response = bomb.result()
        assert (response.status_code, response.json()["error"]["type"]) == (413, "too-costly")
        assert checks >= 10


if __name__ == "__main__":
    explode(int(sys.argv[1]))
