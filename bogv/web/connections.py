"""Listening sockets, and the protocol of their connections: limits, time-outs, malformed requests.

uvicorn alone accepts any number of connections, and waits for a request's headers and body without
a time-out. Once there are more connections than files may be open, nobody is answered, and asyncio
logs a traceback for each failed attempt to accept one.

At the limit, the connection that has been idle the longest is closed in favour of the newest:
clients that send their request at once are answered, however many connections are idle.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import resource
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

import h11
import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from bogv.config import Settings
from bogv.errors import InvalidRequest, Unavailable
from bogv.web.access import client_of
from bogv.web.bodies import read_timeout
from bogv.web.envelope import MESSAGES

log = logging.getLogger(__name__)

BACKLOG = 1024  # connections that wait to be accepted, such as while the model is loaded
WRITE_TIMEOUT = 60.0  # seconds for the client to receive what is buffered for it, at most 48 KiB
CHECK_INTERVAL = 1.0  # seconds between two checks of the time-outs
MAX_FILES = 65_536  # open files; some programs iterate over all that are allowed
LOG_INTERVAL = 60.0  # seconds between two log lines on the same condition
_ENDLESS = "bogv.endless"  # in the state that all copies of a request's scope share

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 42\r\n\r\n"
    b"There are too many connections; try later."
)


def mark_endless(scope: Scope) -> None:
    """Mark a response that lasts as long as its client wants: a shutdown doesn't wait for it."""
    scope.get("state", {})[_ENDLESS] = True


def listen(host: str, port: int) -> list[socket.socket]:
    """Open sockets that listen on all addresses of the host, before anything slow is done: the port
    is reserved, and early clients wait in the backlog.

    Raises Unavailable, with the setting to change.
    """
    listeners: list[socket.socket] = []
    with ExitStack() as opened:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, _, _, _, address in dict.fromkeys(found):
                try:
                    listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                except OSError as error:
                    # `localhost` resolves to an IPv6 address even where IPv6 is not available.
                    if error.errno == errno.EADDRNOTAVAIL and len(found) > 1:
                        continue
                    raise
                listeners.append(opened.enter_context(listener))
        except OSError as error:
            raise Unavailable(_explain(host, port, error)) from error
        if not listeners:
            raise Unavailable(f"This machine has no address {host} (BOGV_HOST).")
        opened.pop_all()
    return listeners


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is already in use, by another bogv or another program."
            " Stop it, or set API_PORT to another port."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} requires root privileges: set API_PORT to one above 1023."
    return f"Can't listen on {host} (BOGV_HOST): {error.strerror}."


def raise_file_limit() -> int:
    """Raise the soft limit of open files up to MAX_FILES, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # macOS enforces a lower limit than it reports
            log.warning("The limit of open files stays at %d: %s", soft, error)
            return soft
        return wanted
    return MAX_FILES if soft == resource.RLIM_INFINITY else soft


@dataclass
class Connections:
    """The open connections. For use in the event loop's thread alone."""

    limit: int
    limit_per_address: int
    proxies: list[str] = field(default_factory=list)
    """Addresses and networks without a limit of their own: those of all clients."""
    open: dict[Connection, None] = field(default_factory=dict)
    """The one that has been idle the longest first."""
    open_by_address: dict[str, dict[Connection, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._networks = [ip_network(each) for each in self.proxies]
        self._is_checking = False
        self._log_interval = LogInterval()

    @classmethod
    def from_settings(cls, settings: Settings, files: int) -> Connections:
        """Limits of at most half of the open files, and a quarter of that for each address."""
        limit = min(settings.max_connections, max(files // 2, 8))
        return cls(limit, max(limit // 4, 4), settings.proxies)

    @property
    def backlog(self) -> int:
        """How many are accepted at once, before the limit is checked for the first of them."""
        return max(self.limit // 8, 4)

    @property
    def protocol(self) -> Any:
        """uvicorn's `http` option: a factory of connections."""
        return partial(Connection, self)

    def admit(self, new: Connection) -> bool:
        """Add a connection, at the limit in place of an idle one. False: all are busy."""
        same_address = self.open_by_address.setdefault(new.address, {})
        is_crowded = len(same_address) >= self.limit_per_address and not self._is_proxy(new)
        if is_crowded or len(self.open) >= self.limit:
            if self._log_interval.is_over():
                log.warning(
                    "The limit of connections is reached: %d are open, %d of them from %s."
                    " Idle ones are closed for new ones.",
                    *(len(self.open), len(same_address), new.address),
                )
            candidates = same_address if is_crowded else self.open
            oldest = next((each for each in candidates if each.is_idle), None)
            if oldest is None:
                self._drop_empty(new.address)
                return False
            oldest.abort()
        self.open[new] = None
        self.open_by_address.setdefault(new.address, {})[new] = None
        if not self._is_checking:
            self._is_checking = True
            new.loop.call_later(CHECK_INTERVAL, self._check_timeouts, new.loop)
        return True

    def _is_proxy(self, connection: Connection) -> bool:
        """A connection without an address comes through a Unix socket, and so from a proxy."""
        if not connection.client:
            return True
        address = ip_address(connection.client[0].partition("%")[0])
        return any(address in network for network in self._networks)

    def mark_idle(self, connection: Connection) -> None:
        """Move a connection whose request was answered to the end of the order of closing."""
        for each in (self.open, self.open_by_address.get(connection.address, {})):
            if connection in each:
                del each[connection]
                each[connection] = None

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.open.pop(connection, None)
        self.open_by_address.get(connection.address, {}).pop(connection, None)
        self._drop_empty(connection.address)

    def _drop_empty(self, address: str) -> None:
        if not self.open_by_address.get(address, True):
            del self.open_by_address[address]

    def _check_timeouts(self, loop: Any) -> None:
        for connection in list(self.open):
            connection.check_timeout()
        self._is_checking = bool(self.open)
        if self._is_checking:
            loop.call_later(CHECK_INTERVAL, self._check_timeouts, loop)


class Connection(H11Protocol):
    """uvicorn's protocol with a limit of connections, time-outs, and envelopes for malformed
    requests."""

    def __init__(self, connections: Connections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._all = connections
        self.address = ""
        self._phase: object = None
        self._waited = 0.0  # seconds of this phase spent waiting for the client
        self._received = 0  # bytes in this phase

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress whose headers are complete."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_endless(self) -> bool:
        """Whether the response in progress was given to `mark_endless`."""
        return not self.is_idle and _ENDLESS in self.cycle.scope["state"]

    def connection_made(self, transport: Any) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self.address = client_of({"client": self.client})
        if not self._all.admit(self):
            self.connections.discard(self)
            transport.write(_BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._received += len(data)
        if not self.transport.is_closing():  # data that follows a refusal is ignored
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for a malformed request, which never reaches the app. Its path is not
        known: the envelope is sent for the demo too."""
        body = {"msg": MESSAGES[""][1], "code": 500, "data": None}
        body["error"] = {"type": InvalidRequest.type, "detail": msg}
        data = json.dumps(body, ensure_ascii=False).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
            ("Connection", "close"),
        ]
        start = h11.Response(status_code=400, headers=headers, reason="Bad Request")
        for event in (start, h11.Data(data=data), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def on_response_complete(self) -> None:
        """Called by uvicorn."""
        self._all.mark_idle(self)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._all.remove(self)
        super().connection_lost(exc)

    def abort(self) -> None:
        """Close the connection without sending what is buffered."""
        self._all.remove(self)
        self.transport.abort()

    def resume_writing(self) -> None:
        """Called by asyncio: the client has received part of what was buffered for it."""
        self._waited = 0.0
        super().resume_writing()

    def check_timeout(self) -> None:
        """Called every CHECK_INTERVAL: close the connection if the client took too long."""
        is_writing = self.transport.get_write_buffer_size() > 0
        phase = (self.cycle, self.is_idle, is_writing)
        if phase != self._phase:
            self._phase, self._waited, self._received = phase, 0.0, 0
        elif is_writing or (self._is_reading and not self.flow.read_paused):
            self._waited += CHECK_INTERVAL
        if self._waited > (WRITE_TIMEOUT if is_writing else read_timeout(self._received)):
            self.abort()

    @property
    def _is_reading(self) -> bool:
        """Whether the client is to send something. A response has no time-out: the demo's events
        are a stream."""
        return self.is_idle or bool(self.cycle.more_body)


class Server(uvicorn.Server):
    """uvicorn's, whose sockets queue BACKLOG connections, and whose shutdown ends the endless
    responses.

    asyncio takes one number for the queue of the kernel and for how many are accepted at once. A
    connection that finds a short queue full tries again after a second.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)
            log.info("Listening on %s, port %d", *listener.getsockname()[:2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Called by uvicorn, which then waits for the requests in progress."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection) and connection.is_endless:
                connection.abort()
        await super().shutdown(sockets)


class LogInterval:
    """Limits a log line to one in LOG_INTERVAL seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def is_over(self) -> bool:
        """Whether to log now; if so, begins the next interval."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + LOG_INTERVAL
        return True


class AcceptFilter(logging.Filter):
    """Limits asyncio's errors on failed `accept` calls to a line in LOG_INTERVAL, untraced."""

    def __init__(self) -> None:
        super().__init__()
        self._log_interval = LogInterval()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record."""
        if "socket.accept() out of system resource" not in record.getMessage():
            return True
        record.exc_info = None
        return self._log_interval.is_over()


class ServerFilter(logging.Filter):
    """Drops uvicorn's messages on each step of its start and its shutdown, and the tracebacks of
    the requests that a shutdown has cancelled, which it counts in a line of its own."""

    STEPS = (
        *("Started server process", "Waiting for application startup"),
        *("Application startup complete", "Waiting for application shutdown"),
        *("Application shutdown complete", "Finished server process"),
    )

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log the record."""
        error = record.exc_info[1] if record.exc_info else None
        return not (
            isinstance(error, asyncio.CancelledError) or record.getMessage().startswith(self.STEPS)
        )
