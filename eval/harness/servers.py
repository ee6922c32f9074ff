"""A bogv server in a process of its own, for measurements."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from eval.errors import WorkbenchError
from eval.harness.processes import resident_mib

ROOT = Path(__file__).parents[2]
START_SECONDS = 300.0


class Served:
    """`python app.py`, or what else is named, on a free port of this machine, once it answers.

    Raises WorkbenchError.
    """

    def __init__(self, data_dir: Path, *program: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self._log = data_dir.with_name(f"{data_dir.name}.log")
        ours = {"BOGV_DATA_DIR": str(data_dir), "API_PORT": port, "BOGV_HOST": "127.0.0.1"}
        others = {name: value for name, value in os.environ.items() if name != "TOKEN"}
        start = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, *(program or ["app.py"])],
                cwd=ROOT,
                env={**others, **environment, **ours},
                stdout=log,
                stderr=log,
            )
        try:
            self._wait(start + START_SECONDS)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self.start_seconds = time.perf_counter() - start
        """From the start of the process to the first answer of /api/health."""

    def _wait(self, deadline: float) -> None:
        while self._process.poll() is None and time.perf_counter() < deadline:
            try:
                httpx.get(f"{self.url}/api/health", trust_env=False, timeout=30).raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return
        raise WorkbenchError(f"The server doesn't answer: {self._log.read_text('utf-8')[-800:]}")

    def resident_mib(self) -> float | None:
        """What it holds in memory, in MiB; None where there is no /proc."""
        return resident_mib(self._process.pid)

    def has_loaded(self, library: str) -> bool | None:
        """Whether a library is in its memory; None where there is no /proc."""
        try:
            return library in Path(f"/proc/{self._process.pid}/maps").read_text("utf-8")
        except OSError:
            return None

    def stop(self) -> None:
        """As a service manager stops it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def serving(data_dir: Path, *program: str, **environment: str) -> Iterator[Served]:
    """A server on this data folder until the block ends. Raises WorkbenchError."""
    served = Served(data_dir, *program, **environment)
    try:
        yield served
    finally:
        served.stop()
