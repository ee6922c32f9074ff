"""Connections: how many there may be, and for how long one may keep the server waiting.

uvicorn takes as many as come, and waits for a request's headers and body for ever. With more of
them than files that may be open, nobody is answered, and asyncio writes a traceback into the log
for each attempt to take one more.

Where there are as many as there may be, the one that has waited the longest without a request
makes room for the newest: who asks at once is answered, however many are idle.
"""

from __future__ import annotations

import logging
import resource
import time
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from bogv.config import Settings
from bogv.web.access import client_of
from bogv.web.malformed import EnvelopeProtocol

log = logging.getLogger(__name__)

# As Apache's mod_reqtimeout has them: `RequestReadTimeout header=20-40,MinRate=500
# body=20,MinRate=500`. Headers end at 64 KiB (h11).
GRACE = 20.0  # seconds for headers or a body, and longer with each byte that comes
RATE = 500  # bytes a second
UNREAD = 60.0  # seconds for the client to take what lies ready for it, 48 KiB at most
TICK = 1.0  # seconds
FILES = 65_536  # open files, at most: some programs walk over all that may be
ANNOUNCED = 60.0  # seconds between two lines of the log on the same

_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 42\r\n\r\n"
    b"There are too many connections; try later."
)


def raise_file_limit() -> int:
    """As many open files as this process may have; how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as error:  # macOS has a lower limit, which it doesn't tell
            log.warning("There can be no more than %d open files: %s", soft, error)
            return soft
        return wanted
    return FILES if soft == resource.RLIM_INFINITY else soft


@dataclass
class Connections:
    """Those that there are, of all and by address. To be used from the event loop alone."""

    most: int
    by_address: int
    proxies: list[str] = field(default_factory=list)
    """All clients come from their addresses."""
    held: dict[Connection, None] = field(default_factory=dict)
    """The one that has waited the longest for a request first."""
    held_by: dict[str, dict[Connection, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._networks = [ip_network(each) for each in self.proxies]
        self._ticking = False
        self._sometimes = Sometimes()

    @classmethod
    def of(cls, settings: Settings, files: int) -> Connections:
        """Half of the open files at most are connections; a quarter of those for an address."""
        most = min(settings.max_connections, max(files // 2, 8))
        return cls(most, max(most // 4, 4), settings.proxies)

    @property
    def backlog(self) -> int:
        """How many are taken at once, before the first of them is looked at."""
        return max(self.most // 8, 4)

    @property
    def protocol(self) -> Any:
        """For uvicorn: makes a connection of each that comes."""
        return partial(Connection, self)

    def take(self, new: Connection) -> bool:
        """Whether there is room for it, or can be made."""
        neighbours = self.held_by.setdefault(new.address, {})
        crowded = len(neighbours) >= self.by_address and not self._is_proxy(new)
        if crowded or len(self.held) >= self.most:
            if self._sometimes.now():
                log.warning(
                    "Too many connections: %d, of them %d from %s. The idle ones make room.",
                    *(len(self.held), len(neighbours), new.address),
                )
            there = neighbours if crowded else self.held
            oldest = next((each for each in there if each.idle), None)
            if oldest is None:
                self._forget(new.address)
                return False
            oldest.drop()
        self.held[new] = None
        self.held_by.setdefault(new.address, {})[new] = None
        if not self._ticking:
            self._ticking = True
            new.loop.call_later(TICK, self._tick, new.loop)
        return True

    def _is_proxy(self, connection: Connection) -> bool:
        """Also where there is no address: a Unix socket is a proxy's."""
        if not connection.client:
            return True
        address = ip_address(connection.client[0].partition("%")[0])
        return any(address in network for network in self._networks)

    def idles(self, connection: Connection) -> None:
        """It has had its answer, and is the last to make room."""
        for each in (self.held, self.held_by.get(connection.address, {})):
            if connection in each:
                del each[connection]
                each[connection] = None

    def let_go(self, connection: Connection) -> None:
        """It is at its end."""
        self.held.pop(connection, None)
        self.held_by.get(connection.address, {}).pop(connection, None)
        self._forget(connection.address)

    def _forget(self, address: str) -> None:
        if not self.held_by.get(address, True):
            del self.held_by[address]

    def _tick(self, loop: Any) -> None:
        for connection in list(self.held):
            connection.tick()
        self._ticking = bool(self.held)
        if self._ticking:
            loop.call_later(TICK, self._tick, loop)


class Connection(EnvelopeProtocol):
    """uvicorn's, which is counted and not waited for without an end."""

    def __init__(self, connections: Connections, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._all = connections
        self.address = ""
        self._phase: object = None
        self._waited = 0.0  # seconds in this phase, in which it was the client's turn
        self._came = 0  # bytes

    @property
    def idle(self) -> bool:
        """Whether there is no request of which the headers have come, and no answer under way."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Called by asyncio."""
        super().connection_made(transport)
        self.address = client_of({"client": self.client})
        if not self._all.take(self):
            self.connections.discard(self)
            transport.write(_BUSY)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._came += len(data)
        if not self.transport.is_closing():  # what comes after the refusal is no request
            super().data_received(data)

    def on_response_complete(self) -> None:
        """Called by uvicorn."""
        self._all.idles(self)
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio."""
        self._all.let_go(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """End it at once."""
        self._all.let_go(self)
        self.transport.abort()

    def resume_writing(self) -> None:
        """Called by asyncio: the client has taken some of what lies ready for it."""
        self._waited = 0.0
        super().resume_writing()

    def tick(self) -> None:
        """A TICK has passed: end a connection that has kept the server waiting for too long."""
        unread = self.transport.get_write_buffer_size() > 0
        phase = (self.cycle, self.idle, unread)
        if phase != self._phase:
            self._phase, self._waited, self._came = phase, 0.0, 0
        elif unread or (self._receiving and not self.flow.read_paused):
            self._waited += TICK
        if self._waited > (UNREAD if unread else GRACE + self._came / RATE):
            self.drop()

    @property
    def _receiving(self) -> bool:
        """Whether it is the client's turn. An answer may take its time: events are a stream."""
        return self.idle or bool(self.cycle.more_body)


class Sometimes:
    """True once in ANNOUNCED seconds."""

    def __init__(self) -> None:
        self._next = 0.0

    def now(self) -> bool:
        """Whether it is time again."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + ANNOUNCED
        return True


class AcceptFilter(logging.Filter):
    """Of asyncio's tracebacks on files that ran out, one line in ANNOUNCED seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._sometimes = Sometimes()

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets all else pass."""
        if "socket.accept() out of system resource" not in record.getMessage():
            return True
        record.exc_info = None
        return self._sometimes.now()
