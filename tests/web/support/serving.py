"""An ASGI app on a real socket, and connections to it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import uvicorn

from bogv.web.connections import Connections, Server


@contextmanager
def run_server(asgi: Any, limits: Connections, **options: Any) -> Iterator[tuple[Server, int]]:
    """A server in a thread, and its port."""
    config = uvicorn.Config(
        asgi, http=limits.protocol, ws="none", log_config=None, lifespan="off", **options
    )
    server = Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield server, listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def opened(port: int, count: int, start: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connections that have sent no more than this."""
    with ExitStack() as stack:
        sockets = []
        for _ in range(count):
            each = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
            each.sendall(start)
            sockets.append(each)
        yield sockets


def closed(connection: socket.socket) -> bool:
    """Whether the server hangs up; waits for it."""
    with suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True
