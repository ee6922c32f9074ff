"""A bogv server in a process of its own."""

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

ROOT = Path(__file__).parents[1]
START_SECONDS = 300


class Server:
    """`python app.py`, or what else is named, on a free port, with untrained weights."""

    def __init__(self, data: Path, *command: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.log = data.with_name(f"{data.name}.log")
        ours = {"BOGV_DATA_DIR": str(data), "BOGV_WEIGHTS": "untrained", "API_PORT": port}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *(command or ["app.py"])],
                cwd=ROOT,
                env={**os.environ, **ours, **environment},
                stdout=log,
                stderr=log,
            )

    def health(self) -> dict[str, Any]:
        """What `/api/health` tells, once it answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                answer = httpx.get(f"{self.url}/api/health", trust_env=False, timeout=30)
                return dict(answer.json()["data"])
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"the server doesn't answer:\n{self.log.read_text()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def running(data: Path, *command: str, **environment: str) -> Iterator[Server]:
    """A server that answers; stopped afterwards."""
    server = Server(data, *command, **environment)
    try:
        server.health()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
