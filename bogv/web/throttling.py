"""Throttling: a rate limit for each client, and brute-force protection of the token.

Counts are kept in memory, for the clients seen last, and must be used from one thread: the event
loop's.

Brute-force protection. Wrong tokens cause lockouts that grow exponentially. During a lockout, no
token is compared: if the right one still passed, a lockout would not slow guessing down. So that an
attacker does not lock out others, it matters who shares a lockout:

- Clients that have authenticated once get a device cookie, and are counted by it. (OWASP, Slow Down
  Online Guessing Attacks with Device Cookies.) All others are counted by their address.
- Each of these has a second count, for tokens that were refused in a lockout and come again a
  second later or more. So a client that repeats its one token is not held up by an attacker who
  tries many. A token that was compared and found wrong has no second count; nor have logins to the
  demo, whose tokens are not known here.

A success resets no failures. What can be tried, by any number of clients:

- at one address, 258 tokens in the first hour and 240 in each later one: on each of its two counts
  five, then one after a lockout of 1, 2, 4, 8, 16 and then 30 seconds each;
- at all addresses together that have not authenticated since the start, 2,000 in the first hour and
  1,000 in each later one.

A client with a device cookie is held up by its own wrong tokens alone. One that keeps no cookies
can be held up by an attacker at the same address: for a second by one who tries each token once,
for 30 seconds at a time by one who tries each twice. The server cannot tell the two apart.
"""

from __future__ import annotations

import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from bogv.errors import TooManyRequests

MAX_CLIENTS = 10_000  # whose counts are kept; the least recently seen are dropped first
PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}

FREE_FAILURES = 5  # wrong tokens before the first lockout
MAX_LOCKOUT = 30.0  # seconds
FORGET_AFTER = 3600.0  # seconds without another wrong token
UNKNOWN_RATE = "1000/hour"  # wrong tokens from all addresses that have not authenticated
REPEAT_AFTER = 1.0  # seconds
MAX_TOKENS = 50_000  # refused or wrong tokens whose digests are kept
COOKIE = "bogv-device"
COOKIE_SECONDS = 30 * 86400

Clock = Callable[[], float]
K = TypeVar("K")
T = TypeVar("T")


class RateLimit:
    """A number of requests in a period for each client: that many at once, then at an even rate.

    Source: the generic cell rate algorithm, ITU-T I.371, as virtual scheduling. (The library
    `limits` keeps an unbounded number of clients, and starts a thread to expire them.)
    """

    def __init__(self, rate: str, clock: Clock = time.monotonic) -> None:
        """rate: such as `60/minute`."""
        count, _, period = rate.partition("/")
        self._period = PERIODS[period]
        self._step = self._period / int(count)
        self._clock = clock
        self._due: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str) -> float:
        """Count a request and return 0; or count nothing, and return the seconds to wait."""
        now = self._clock()
        due = max(self._due.get(client, now), now) + self._step
        wait = due - now - self._period
        if wait > 1e-6:  # less is a rounding error
            return wait
        put(self._due, client, due)
        return 0.0

    def refund(self, client: str) -> None:
        """Take back the count of one request."""
        if client in self._due:
            self._due[client] -= self._step


@dataclass
class _Failures:
    count: int = 0
    last: float = 0.0
    locked_until: float = 0.0
    pending: int = 0
    """Attempts whose outcome is not known yet."""


class Attempt:
    """An attempt to authenticate, in a `with` block: failed unless `right` is set at its end."""

    def __init__(self, end: Callable[[bool], None]) -> None:
        self.succeeded = False
        self._end = end

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(self.succeeded)


class LoginThrottle:
    """Counts wrong tokens by device or address, and those of all unknown addresses together."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._known: OrderedDict[str, bool] = OrderedDict()
        # When a client's token was first refused in a lockout; infinite if it was found wrong.
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._unknown_rate = RateLimit(UNKNOWN_RATE, clock)
        self._key = secrets.token_bytes(32)

    def begin_attempt(self, address: str, device: str | None = None, token: bytes = b"") -> Attempt:
        """Begin an attempt.

        device: the client's cookie, if any, unverified. token: if known. Raises TooManyRequests in
        a lockout, whatever the token.
        """
        is_device_cookie = self.is_device_cookie(device)
        client = f"device {device}" if is_device_cookie else address
        digest = self._digest(client, token) if token else b""
        name, failures = self._count_for(client, digest)
        is_unknown = not is_device_cookie and address not in self._known
        wait = self._unknown_rate.take("") if is_unknown else 0.0
        if wait:
            raise TooManyRequests("Too many wrong tokens from many addresses.", wait)
        # Not before: refused attempts must not evict the failures of others.
        put(self._failures, name, failures)
        failures.pending += 1

        def end(succeeded: bool) -> None:
            failures.pending -= 1
            if not succeeded:
                self._add_failure(failures, digest)
                return
            put(self._known, address, True)
            if is_unknown:
                self._unknown_rate.refund("")

        return Attempt(end)

    def _count_for(self, client: str, digest: bytes) -> tuple[str, _Failures]:
        """The first or second count of a client, by name, whichever is not locked."""
        second = f"second {client}"
        wait = self._lockout(self._failures_of(client))
        if not wait:
            return client, self._failures_of(client)
        if digest:
            refused_at = self._refused.get(digest, self._clock())
            put(self._refused, digest, refused_at, MAX_TOKENS)
            repeat = refused_at + REPEAT_AFTER - self._clock()
            wait = min(wait, max(self._lockout(self._failures_of(second)), repeat))
        if wait <= 0:
            return second, self._failures_of(second)
        raise TooManyRequests("Too many wrong tokens from this address.", wait)

    def _failures_of(self, name: str) -> _Failures:
        return self._failures.get(name, _Failures())

    def _lockout(self, failures: _Failures) -> float:
        """Seconds until the next attempt is allowed."""
        now = self._clock()
        if now - failures.last >= FORGET_AFTER:
            failures.count = 0
        wait = max(failures.locked_until - now, 0.0)
        if failures.pending and failures.count + failures.pending >= FREE_FAILURES:
            wait = max(wait, 1.0)  # many attempts can begin before the first ends
        return wait

    def _add_failure(self, failures: _Failures, digest: bytes) -> None:
        if digest:
            put(self._refused, digest, math.inf, MAX_TOKENS)
        failures.count += 1
        failures.last = self._clock()
        if failures.count >= FREE_FAILURES:
            # The exponent is bounded: 2**2000 overflows a float.
            lockout = 2.0 ** min(failures.count - FREE_FAILURES, 20)
            failures.locked_until = failures.last + min(lockout, MAX_LOCKOUT)

    # Device cookies

    def issue_device_cookie(self) -> str:
        """A device cookie's value, for a client that has authenticated. It authenticates nobody."""
        name = secrets.token_hex(8)
        return f"{name}.{self._sign(name)}"

    def is_device_cookie(self, cookie: str | None) -> bool:
        """Whether the cookie was issued by this process."""
        name, _, signature = (cookie or "").partition(".")
        return hmac.compare_digest(signature.encode(), self._sign(name).encode())

    def _digest(self, client: str, token: bytes) -> bytes:
        return hmac.digest(self._key, client.encode() + b"\0" + token, "sha256")[:16]

    def _sign(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), "sha256").hexdigest()


def put(entries: OrderedDict[K, T], key: K, entry: T, limit: int | None = None) -> None:
    """Set an entry as the newest; above `limit`, by default MAX_CLIENTS, drop the oldest."""
    entries[key] = entry
    entries.move_to_end(key)
    if len(entries) > (limit or MAX_CLIENTS):
        entries.popitem(last=False)
