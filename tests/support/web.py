"""A small HTTP server on loopback, for what would be fetched from the internet."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve every GET with `answer`; gives the base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Send a whole answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def hanging_names() -> Iterator[None]:
    """A network in which the resolution of names never ends, nor do connections, in effect."""
    over = threading.Event()

    def hang(*_: object, **__: object) -> None:
        over.wait()
        raise socket.gaierror("no such host")

    with patch.object(socket, "getaddrinfo", hang):
        try:
            yield
        finally:
            over.set()
            for thread in threading.enumerate():
                if thread.name == "download":
                    thread.join()
