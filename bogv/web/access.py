"""Who may come in, and how often: the sites, the token, the rate that can be set."""

from __future__ import annotations

import hmac
import time
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import cookie_parser
from starlette.types import Message, Scope, Send

from bogv.config import Settings
from bogv.errors import TooManyRequests
from bogv.web.csrf import Sites
from bogv.web.guesses import COOKIE, COOKIE_SECONDS, Guess, Guesses
from bogv.web.rates import Clock, RateLimit


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


class Door:
    """One for the API and the demo: a client has one account with both."""

    def __init__(
        self,
        token: str | None = None,
        rate: str | None = None,
        clock: Clock = time.monotonic,
        sites: Sites | None = None,
    ) -> None:
        self.token = token
        self.sites = sites or Sites()
        self._guesses = Guesses(clock)
        self._rate = RateLimit(rate, clock) if rate else None

    @classmethod
    def of(cls, settings: Settings) -> Door:
        """As TOKEN, BOGV_RATE_LIMIT and BOGV_ALLOWED_HOSTS say."""
        token = settings.token.get_secret_value() if settings.token else None
        return cls(token, settings.rate_limit, sites=Sites(settings.hosts))

    def count(self, scope: Scope) -> None:
        """Raises TooManyRequests for a client that comes too often."""
        early = self._rate.take(client_of(scope)) if self._rate else 0.0
        if early:
            raise TooManyRequests("There were too many requests from this address.", early)

    def opens_to(self, scope: Scope) -> bool:
        """Whether a request brings the token in its header, or none is asked for.

        Raises TooManyRequests for a client that has to wait after wrong ones, right or not: see
        `bogv.web.guesses`. A request without a token is no guess.
        """
        if self.token is None or not _given(scope):
            return self.token is None
        with self.guess(scope, _given(scope)) as guess:
            guess.right = self.has_token(scope)
        return guess.right

    def has_token(self, scope: Scope) -> bool:
        """The same, of a request that was let in already: it isn't counted again."""
        return self.token is None or hmac.compare_digest(_given(scope), self.token.encode())

    def guess(self, scope: Scope, token: bytes = b"") -> Guess:
        """Leave to try one token, in a `with` block. Raises TooManyRequests."""
        return self._guesses.guess(client_of(scope), _device(scope), token)

    def remembering(self, scope: Scope, send: Send) -> Send:
        """`send`, for a client that has shown the right token: its answer brings a device cookie,
        so that it never waits for what others have tried. It lets nobody in."""
        if self.token is None or self._guesses.is_device(_device(scope)):
            return send
        cookie = f"{COOKIE}={self._guesses.new_device()}; Path=/; Max-Age={COOKIE_SECONDS}"

        async def remembering(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"set-cookie", f"{cookie}; HttpOnly".encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        return remembering


def _given(scope: Scope) -> bytes:
    given: bytes = dict(scope["headers"]).get(b"token", b"")
    return given


def _device(scope: Scope) -> str | None:
    cookies: bytes = dict(scope["headers"]).get(b"cookie", b"")
    return cookie_parser(cookies.decode("latin-1")).get(COOKIE)
