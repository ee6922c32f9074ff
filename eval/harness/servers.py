"""A bogv server in its own process, for measurements and tests."""

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
from typing import Any

import httpx

from eval.errors import WorkbenchError
from eval.harness.processes import resident_mib

ROOT = Path(__file__).parents[2]
START_SECONDS = 300.0
STOP_SECONDS = 60.0


class Server:
    """`python app.py`, or another program, on a free port of this machine. Waits until it answers.

    Raises WorkbenchError if it doesn't.
    """

    def __init__(self, data_dir: Path, *program: str, **environment: str) -> None:
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = data_dir.with_name(f"{data_dir.name}.log")
        # Shared by all polls: making one takes 18 ms of a core (its TLS context). No connection
        # is kept, so that none is left open.
        self._client = httpx.Client(
            base_url=self.url,
            trust_env=False,
            timeout=30,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        ours = {"BOGV_DATA_DIR": str(data_dir), "API_PORT": str(port), "BOGV_HOST": "127.0.0.1"}
        others = {name: value for name, value in os.environ.items() if name != "TOKEN"}
        start = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - bogv itself
                [sys.executable, *(program or ["app.py"])],
                cwd=ROOT,
                env={**others, **environment, **ours},
                stdout=log,
                stderr=log,
            )
        try:
            self._wait(start + START_SECONDS)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.start_seconds = time.perf_counter() - start
        """From the start of the process to the first answer of /api/health."""

    def _wait(self, deadline: float) -> None:
        while self.process.poll() is None and time.perf_counter() < deadline:
            try:
                self._get_health().raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.02)
            else:
                return
        raise WorkbenchError(f"The server doesn't answer: {self.log.read_text('utf-8')[-800:]}")

    def _get_health(self) -> httpx.Response:
        return self._client.get("/api/health")

    def health(self) -> dict[str, Any]:
        """The data of `/api/health`. Raises httpx.HTTPError."""
        return dict(self._get_health().json()["data"])

    def resident_mib(self) -> float | None:
        """The server's resident memory in MiB; None without /proc."""
        return resident_mib(self.process.pid)

    def has_loaded(self, library: str) -> bool | None:
        """Whether the server has loaded a library; None without /proc."""
        try:
            return library in Path(f"/proc/{self.process.pid}/maps").read_text("utf-8")
        except OSError:
            return None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop the server, by default with SIGTERM, and return its exit status.

        The status is -SIGKILL if it didn't stop in time and was killed.
        """
        self.process.send_signal(how)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def serving(data_dir: Path, *program: str, **environment: str) -> Iterator[Server]:
    """Run a server on this data folder until the block ends. Raises WorkbenchError."""
    server = Server(data_dir, *program, **environment)
    try:
        yield server
    finally:
        server.stop()
