"""Access control: cross-site requests, the token, and the rate limit."""

from __future__ import annotations

import hmac
import time
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.config import Settings
from bogv.errors import BogvError, TooManyRequests, Unauthorized
from bogv.web.bodies import check_content_length, limit_size
from bogv.web.csrf import CsrfProtection
from bogv.web.envelope import Envelopes, path_of, retry_after
from bogv.web.throttling import COOKIE, COOKIE_SECONDS, Attempt, Clock, LoginThrottle, RateLimit

PUBLIC = ("/health", "/docs", "/openapi.json", "/static-offline-docs")  # without gallery data


def client_of(scope: Scope) -> str:
    """The IP address of a request's client, given by its connection or a trusted proxy.

    Of an IPv6 address the /64 network, which one customer has as a whole (RFC 6177).
    """
    host = str((scope.get("client") or ("", 0))[0])
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # a Unix socket, or an invalid header of a proxy
        return host[:64]
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ip_network((address, 64), strict=False))
    return str(address)


class AccessControl:
    """The checks before a request is handled. The API and the demo share one, and so its counts."""

    def __init__(
        self,
        token: str | None = None,
        rate: str | None = None,
        clock: Clock = time.monotonic,
        csrf: CsrfProtection | None = None,
    ) -> None:
        self.token = token
        self.csrf = csrf or CsrfProtection()
        self._throttle = LoginThrottle(clock)
        self._rate = RateLimit(rate, clock) if rate else None

    @classmethod
    def from_settings(cls, settings: Settings) -> AccessControl:
        """From TOKEN, BOGV_RATE_LIMIT and BOGV_ALLOWED_HOSTS."""
        token = settings.token.get_secret_value() if settings.token else None
        return cls(token, settings.rate_limit, csrf=CsrfProtection(settings.hosts))

    def check_rate(self, scope: Scope) -> None:
        """Count a request against its client's rate limit. Raises TooManyRequests above it."""
        early = self._rate.take(client_of(scope)) if self._rate else 0.0
        if early:
            raise TooManyRequests("Too many requests from this address.", early)

    def authenticate(self, scope: Scope) -> bool:
        """Whether the request carries the token, or none is required; counts a wrong one.

        Raises TooManyRequests for a client that is locked out, whether or not its token is right:
        see `bogv.web.throttling`. A request without a token is not counted.
        """
        if self.token is None or not _given(scope):
            return self.token is None
        with self.begin_attempt(scope, _given(scope)) as attempt:
            attempt.succeeded = self.has_token(scope)
        return attempt.succeeded

    def has_token(self, scope: Scope) -> bool:
        """Whether the request carries the token, or none is required; counts nothing."""
        return self.token is None or hmac.compare_digest(_given(scope), self.token.encode())

    def begin_attempt(self, scope: Scope, token: bytes = b"") -> Attempt:
        """Begin an attempt to authenticate, for a `with` block. Raises TooManyRequests."""
        return self._throttle.begin_attempt(client_of(scope), _device(scope), token)

    def remember_device(self, scope: Scope, send: Send) -> Send:
        """Wrap `send` to set a device cookie, for a client that is authenticated.

        The cookie exempts it from what others' attempts cause; it authenticates nobody.
        """
        if self.token is None or self._throttle.is_device_cookie(_device(scope)):
            return send
        cookie = (
            f"{COOKIE}={self._throttle.issue_device_cookie()}; Path=/; Max-Age={COOKIE_SECONDS}"
        )

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                header = (b"set-cookie", f"{cookie}; HttpOnly".encode())
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        return send_with_cookie


class AccessMiddleware:
    """ASGI middleware of the API: access control and the body limit, before anything is parsed."""

    def __init__(
        self, app: ASGIApp, access: AccessControl, max_body: int, envelopes: Envelopes
    ) -> None:
        """max_body: bytes."""
        self.app = app
        self.access = access
        self.max_body = max_body
        self.envelopes = envelopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except BogvError as error:
            response = self.envelopes.failure(scope, error.status, error.type, str(error))
            response.headers.update(retry_after(error))
            await response(scope, receive, send)
        else:
            if self.access.has_token(scope):
                send = self.access.remember_device(scope, send)
            await self.app(scope, limit_size(receive, self.max_body), send)

    def _check(self, scope: Scope) -> None:
        path = path_of(scope)
        is_public = any(path == each or path.startswith(f"{each}/") for each in PUBLIC)
        self.access.csrf.check(scope)
        if not is_public:
            self.access.check_rate(scope)
        if not self.access.authenticate(scope) and not is_public:
            raise Unauthorized("The token is missing or wrong.")
        check_content_length(scope, self.max_body)


def _given(scope: Scope) -> bytes:
    given: bytes = dict(scope["headers"]).get(b"token", b"")
    return given


def _device(scope: Scope) -> str | None:
    cookies: bytes = dict(scope["headers"]).get(b"cookie", b"")
    return cookie_parser(cookies.decode("latin-1")).get(COOKIE)
