"""How many tokens may be tried, and by whom: what makes guessing slow without shutting others out.

A right token that were let in while wrong ones are refused unseen would tell a guesser what he
wants to know: during a pause, none is looked at. So it matters whom a pause is for.

- Clients that have shown the right token get a device cookie, and have an account of their own.
  (OWASP, Slow Down Online Guessing Attacks with Device Cookies.) All others share their address'.
- What is refused in a pause, and comes again a second later or more, is judged on the address'
  second account: there, a client that knows its token is not held up by one that tries many. What
  was judged wrong once has no second account; nor have logins, which differ each time.

A success takes back no failure. What can be tried, by whatever number of clients:

- at one address, 258 tokens in the first hour and 240 in each later one: on each of its two
  accounts five, then one after a pause of 1, 2, 4, 8, 16 and then 30 seconds each;
- at all addresses together that have not shown the right token since the start, 2,000 in the
  first hour and 1,000 in each later one.

Who brings a device cookie is held up by his own wrong tokens alone; who keeps none, by a neighbour
who tries each token once for a second, and by one who tries each twice for 30 seconds at a time:
to the server, he is one with who guesses there.

Kept in this process, for the clients that came last, by one thread: the event loop's.
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

from bogv.errors import TooManyRequests
from bogv.web.rates import Clock, RateLimit, keep

FREE_FAILURES = 5  # wrong tokens before the first pause
LONGEST_PAUSE = 30.0  # seconds
FORGOTTEN_AFTER = 3600.0  # seconds without another wrong token
STRANGERS = "1000/hour"  # wrong tokens of all addresses that have not shown the right one
REPEATED_AFTER = 1.0  # seconds
VALUES = 50_000  # refused or wrong tokens kept in mind, as digests
COOKIE = "bogv-device"
COOKIE_SECONDS = 30 * 86400


@dataclass
class _Account:
    wrong: int = 0
    last: float = 0.0
    until: float = 0.0
    under_way: int = 0


class Guess:
    """A try whose outcome is not known yet: a wrong one, unless it is said to be right in time."""

    def __init__(self, ended: Callable[[bool], None]) -> None:
        self.right = False
        self._ended = ended

    def __enter__(self) -> Guess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended(self.right)


class Guesses:
    """Counts wrong tokens by device or address, and those of all strangers together."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self._known: OrderedDict[str, bool] = OrderedDict()
        # When a client's token was first refused unseen; without end, where it was judged wrong.
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._strangers = RateLimit(STRANGERS, clock)
        self._key = secrets.token_bytes(32)

    def guess(self, address: str, device: str | None = None, token: bytes = b"") -> Guess:
        """Leave to try one token, in a `with` block.

        device: the cookie, as the client brought it. token: where it can be told from others.
        Raises TooManyRequests for who has to wait, whatever the token.
        """
        known = self.is_device(device)
        client = f"device {device}" if known else address
        value = self._digest(client, token) if token else b""
        name, account = self._account_for(client, value)
        stranger = not known and address not in self._known
        early = self._strangers.take("") if stranger else 0.0
        if early:
            raise TooManyRequests("There were too many wrong tokens, from many addresses.", early)
        # Here at the earliest: refused requests must not have anybody's failures forgotten.
        keep(self._accounts, name, account)
        account.under_way += 1

        def ended(right: bool) -> None:
            account.under_way -= 1
            if not right:
                self._failed(account, value)
                return
            keep(self._known, address, True)
            if stranger:
                self._strangers.give_back("")

        return Guess(ended)

    def _account_for(self, client: str, value: bytes) -> tuple[str, _Account]:
        """The first or second of a client, by name, whichever has no pause."""
        second = f"second {client}"
        left = self._left(self._account(client))
        if not left:
            return client, self._account(client)
        if value:
            refused = self._refused.get(value, self._clock())
            keep(self._refused, value, refused, VALUES)
            other = max(self._left(self._account(second)), refused + REPEATED_AFTER - self._clock())
            left = min(left, other)
        if left <= 0:
            return second, self._account(second)
        raise TooManyRequests("There were too many wrong tokens from this address.", left)

    def _account(self, name: str) -> _Account:
        return self._accounts.get(name, _Account())

    def _left(self, account: _Account) -> float:
        """Seconds that its clients have to wait."""
        now = self._clock()
        if now - account.last >= FORGOTTEN_AFTER:
            account.wrong = 0
        left = max(account.until - now, 0.0)
        if account.under_way and account.wrong + account.under_way >= FREE_FAILURES:
            left = max(left, 1.0)  # many can come at once, before the first is judged
        return left

    def _failed(self, account: _Account, value: bytes) -> None:
        if value:
            keep(self._refused, value, math.inf, VALUES)
        account.wrong += 1
        account.last = self._clock()
        if account.wrong >= FREE_FAILURES:
            # The exponent is bounded: a float has no 2**2000.
            pause = 2.0 ** min(account.wrong - FREE_FAILURES, 20)
            account.until = account.last + min(pause, LONGEST_PAUSE)

    # Devices

    def new_device(self) -> str:
        """A cookie for a client that has shown the right token. It lets nobody in."""
        name = secrets.token_hex(8)
        return f"{name}.{self._signed(name)}"

    def is_device(self, cookie: str | None) -> bool:
        """Whether it was given out by this process."""
        name, _, signature = (cookie or "").partition(".")
        return hmac.compare_digest(signature.encode(), self._signed(name).encode())

    def _digest(self, client: str, token: bytes) -> bytes:
        return hmac.digest(self._key, client.encode() + b"\0" + token, "sha256")[:16]

    def _signed(self, name: str) -> str:
        return hmac.new(self._key, name.encode(), "sha256").hexdigest()
