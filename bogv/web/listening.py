"""The port that is listened on, taken before anything else that takes time."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from bogv.errors import Unavailable

BACKLOG = 128  # connections that wait while the model is loaded


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of the host: who connects now is answered once bogv is
    up, and no other program can take the port meanwhile.

    Raises Unavailable, which says what to set.
    """
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                try:
                    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                except OSError as error:
                    # `localhost` has an IPv6 address where there is no IPv6 too.
                    if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                        continue
                    raise
                listeners.append(opened.enter_context(listener))
        except OSError as error:
            raise Unavailable(_told(host, port, error)) from error
        if not listeners:
            raise Unavailable(f"This machine has no address {host} (BOGV_HOST).")
        opened.pop_all()
    return listeners


def _told(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is in use: another bogv, or another program, listens there."
            " Stop it, or set API_PORT to another port."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is for programs with more rights: set API_PORT to one above 1023."
    return f"{host} can't be listened on (BOGV_HOST): {error.strerror}."
