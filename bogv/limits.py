"""Who may come in, and how often: the token, pauses after wrong ones, a rate that can be set.

Kept in this process, for the clients that came last, by one thread: the event loop's. The library
`limits` counts as well, but its memory has no bound, and each request starts a thread that walks
over all clients.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TypeVar

from starlette.types import Scope

from bogv.config import Settings
from bogv.errors import TooManyRequests

CLIENTS = 10_000  # kept in mind; beyond, the one that was away the longest is forgotten
FREE_FAILURES = 5  # wrong tokens before the first pause
LONGEST_PAUSE = 900.0  # seconds
FORGOTTEN_AFTER = 3600.0  # seconds without another wrong token
PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}

Clock = Callable[[], float]
T = TypeVar("T")


def client_of(scope: Scope) -> str:
    """The address of a request's client, as its connection or a trusted proxy tells it.

    Of an IPv6 address the first 64 bits: one customer has all that begin with them (RFC 6177).
    """
    host = str((scope.get("client") or ("", 0))[0])
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # a Unix socket, or nonsense from a proxy
        return host[:64]
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((address, 64), strict=False))
    return str(address)


class RateLimit:
    """So many requests in a period: as many at once, then one whenever its share has passed.

    Source: the generic cell rate algorithm, ITU-T I.371, as a virtual schedule.
    """

    def __init__(self, rate: str, clock: Clock = time.monotonic) -> None:
        """rate: such as `60/minute`."""
        count, _, period = rate.partition("/")
        self._period = PERIODS[period]
        self._step = self._period / int(count)
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request and give 0; or, without counting it, the seconds that it came early."""
        now = self._clock()
        due = max(self._due.get(client, now), now) + self._step
        early = due - now - self._period
        if early > 1e-6:  # what floats lose is no reason to refuse
            return early
        _keep(self._due, client, due)
        return 0.0


@dataclass(frozen=True)
class _Wrong:
    count: int
    last: float
    until: float


class Pauses:
    """A client that gave wrong tokens waits: 1 s after the fifth, and twice as long each time."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, _Wrong] = OrderedDict()

    def left(self, client: str) -> float:
        """Seconds that it has to wait still."""
        wrong = self._wrong.get(client)
        return max(0.0, wrong.until - self._clock()) if wrong else 0.0

    def failed(self, client: str) -> None:
        """It gave a wrong token."""
        now = self._clock()
        wrong = self._wrong.get(client)
        count = 1 + (wrong.count if wrong and now - wrong.last < FORGOTTEN_AFTER else 0)
        # The exponent is bounded: a float has no 2**2000.
        pause = 2.0 ** min(count - FREE_FAILURES, 20) if count >= FREE_FAILURES else 0.0
        _keep(self._wrong, client, _Wrong(count, now, now + min(pause, LONGEST_PAUSE)))

    def succeeded(self, client: str) -> None:
        """It gave the right one."""
        self._wrong.pop(client, None)


def _keep(entries: OrderedDict[str, T], client: str, entry: T) -> None:
    entries[client] = entry
    entries.move_to_end(client)
    if len(entries) > CLIENTS:
        entries.popitem(last=False)


class Door:
    """One for the API and the demo: a client has one account with both."""

    def __init__(
        self, token: str | None = None, rate: str | None = None, clock: Clock = time.monotonic
    ) -> None:
        self.token = token
        self._pauses = Pauses(clock)
        self._rate = RateLimit(rate, clock) if rate else None

    @classmethod
    def of(cls, settings: Settings) -> Door:
        """As TOKEN and BOGV_RATE_LIMIT say."""
        token = settings.token.get_secret_value() if settings.token else None
        return cls(token, settings.rate_limit)

    def count(self, scope: Scope) -> None:
        """Raises TooManyRequests for a client that comes too often."""
        early = self._rate.take(client_of(scope)) if self._rate else 0.0
        if early:
            raise TooManyRequests("There were too many requests from this address.", early)

    def opens_to(self, scope: Scope) -> bool:
        """Whether a request brings the token in its header, or none is asked for.

        Raises TooManyRequests for a client that has to wait after wrong ones, right or not: else
        guessing would go on as fast as before. A request without a token is no guess.
        """
        if self.token is None or not _given(scope):
            return self.token is None
        self.wait_over(scope)
        right = self.has_token(scope)
        self.tried(scope, right)
        return right

    def has_token(self, scope: Scope) -> bool:
        """The same, of a request that was let in already: it isn't counted again."""
        return self.token is None or hmac.compare_digest(_given(scope), self.token.encode())

    def wait_over(self, scope: Scope) -> None:
        """Raises TooManyRequests for a client that has to wait after wrong tokens."""
        left = self._pauses.left(client_of(scope))
        if left:
            raise TooManyRequests("There were too many wrong tokens from this address.", left)

    def tried(self, scope: Scope, right: bool) -> None:
        """A client gave a token."""
        note = self._pauses.succeeded if right else self._pauses.failed
        note(client_of(scope))


def _given(scope: Scope) -> bytes:
    given: bytes = dict(scope["headers"]).get(b"token", b"")
    return given
