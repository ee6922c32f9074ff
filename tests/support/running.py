"""A bogv server in a process of its own, with untrained weights."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eval.harness.servers import ROOT, Server
from tests.support import models

__all__ = ["ROOT", "Server", "running"]


@contextmanager
def running(data: Path, *command: str, **environment: str) -> Iterator[Server]:
    """A server that answers; stopped afterwards, which it must do by itself."""
    models.lend(data)
    server = Server(data, *command, **{"BOGV_WEIGHTS": "untrained", **environment})
    models.keep(data)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            assert server.stop() != -signal.SIGKILL
