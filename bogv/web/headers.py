"""What every answer and every request of the whole app goes through: headers.

Answers say what a browser may do with them. Requests lose what only a proxy may tell, unless it
comes from one that BOGV_TRUSTED_PROXIES names.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bogv.web.csrf import is_private

log = logging.getLogger(__name__)

# A page runs its own scripts and those that it came with, and asks nobody else for anything.
_PAGE = (
    "default-src 'self'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:;"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# What is no page, such as JSON or a picture somebody uploaded, runs and loads nothing.
_NO_PAGE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "Content-Security-Policy": _NO_PAGE,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}
_INLINE_SCRIPT = re.compile(
    rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE
)
_SAME_SITE = re.compile(r"; *samesite=\w+", re.IGNORECASE)
_ONLY_FROM_PROXIES = re.compile(rb"forwarded|x-forwarded-.*|x-gradio-server")


class SecurityHeaders:
    """Adds what is missing to every answer; makes cookies Lax, and Secure behind TLS."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                message["headers"] = [
                    (name, _cookie(value, scope) if name == b"set-cookie" else value)
                    for name, value in message["headers"]
                ]
            await send(message)

        await self.app(scope, receive, sending)


def _cookie(value: bytes, scope: Scope) -> bytes:
    """Gradio sets one with SameSite=None, which the pages of others could use, and one not Secure.

    Lax: a link from elsewhere leads to the demo, not to its login.
    """
    cookie = f"{_SAME_SITE.sub('', value.decode('latin-1'))}; SameSite=Lax"
    is_secure = re.search(r"; *secure\b", cookie, re.IGNORECASE)
    if scope["scheme"] == "https" and not is_secure:
        cookie += "; Secure"
    return cookie.encode("latin-1")


class PagePolicy:
    """The Content-Security-Policy of pages: of the inline scripts, those run that were sent.

    Each is named by its hash, so that a script that gets into the page later, as somebody's key
    with HTML in it might, does not run. Stands where pages are not yet compressed.
    """

    def __init__(self, app: ASGIApp, also: str = "") -> None:
        """also: more sources of scripts, such as `'unsafe-eval'`."""
        self.app = app
        self.also = f" {also}" if also else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        held: Message | None = None
        page = bytearray()

        async def sending(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_page(message):
                held = message
                return
            if held is not None and message["type"] == "http.response.body":
                page.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                policy = _PAGE.format(scripts=_hashes(bytes(page)) + self.also)
                MutableHeaders(scope=held)["Content-Security-Policy"] = policy
                await send(held)
                message = {**message, "body": bytes(page)}
            await send(message)

        await self.app(scope, receive, sending)


def _is_page(message: Message) -> bool:
    kind: bytes = dict(message["headers"]).get(b"content-type", b"")
    return kind.startswith(b"text/html")


def _hashes(page: bytes) -> str:
    """Source: W3C, Content Security Policy 3, section 2.3.1, hash-source."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    return "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


class HangUp:
    """Closes the connection where an answer comes before the end of a large body.

    uvicorn would read and throw away what is still to come, be it without an end. The rest of a
    body that says that it is no larger than DRAINED is read: closing could cost the client the
    answer.
    """

    DRAINED = 64 * 1024 * 1024  # bytes

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        length = headers.get(b"content-length", b"0")
        ended = b"transfer-encoding" not in headers and int(length) <= self.DRAINED

        async def receiving() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body")
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not ended:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receiving, sending)


class TrustedProxies(ProxyHeadersMiddleware):
    """Takes client, scheme and host from the proxies that are trusted.

    The host from one that doesn't pass the browser's on alone: else a page that has a name of its
    own lead here could name another in `X-Forwarded-Host`, which many a proxy passes on.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        client = scope.get("client")
        if scope["type"] == "http" and client and client[0] in self.trusted_hosts:
            headers = Headers(scope=scope)
            # The last is the proxy's own; what stands before, the client may have sent.
            asked = ",".join(headers.getlist("x-forwarded-host")).rpartition(",")[2].strip()
            if asked and is_private(headers.get("host", "localhost")):
                others = [each for each in scope["headers"] if each[0] != b"host"]
                scope = {**scope, "headers": [(b"host", asked.encode("latin-1")), *others]}
        await super().__call__(scope, receive, send)


class BehindProxy:
    """The path as the outside sees it, and no word from a proxy but what was believed before.

    TrustedProxies has taken client, scheme and host from the proxies that are trusted.
    What the headers say is nothing to the rest of the app: gradio would believe them from anybody.
    """

    def __init__(self, app: ASGIApp, root_path: str = "", trusts: bool = False) -> None:
        self.app = app
        self.root_path = root_path
        self._told = trusts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        kept = [each for each in scope["headers"] if not _ONLY_FROM_PROXIES.fullmatch(each[0])]
        if len(kept) < len(scope["headers"]) and not self._told:
            self._told = True
            log.warning(
                "A request came with a proxy's headers, which nobody is trusted to send: if there"
                " is a proxy, name its address in BOGV_TRUSTED_PROXIES. All who come through it"
                " count as one client."
            )
        scope = {**scope, "headers": kept}
        if self.root_path:
            if scope["path"] == self.root_path:  # relative links would lead beside it
                await RedirectResponse(f"{self.root_path}/")(scope, receive, send)
                return
            if not scope["path"].startswith(f"{self.root_path}/"):
                scope["path"] = self.root_path + scope["path"]
            scope["root_path"] = self.root_path
        await self.app(scope, receive, send)
