"""Security headers of every response, and the Content-Security-Policy of pages."""

from __future__ import annotations

import base64
import hashlib
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A page may run its own scripts, and load nothing from other sites.
_PAGE = (
    "default-src 'self'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:;"
    " object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# Other responses, such as JSON or an uploaded image, may run and load nothing.
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


class SecurityHeaders:
    """ASGI middleware: adds missing security headers to every response, and makes cookies
    SameSite=Lax, and Secure over TLS."""

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
    """Gradio sets one cookie with SameSite=None, which exposes it to other sites, and one that is
    not Secure. Lax rather than Strict: a link from another site opens the demo, not its login."""
    cookie = f"{_SAME_SITE.sub('', value.decode('latin-1'))}; SameSite=Lax"
    is_secure = re.search(r"; *secure\b", cookie, re.IGNORECASE)
    if scope["scheme"] == "https" and not is_secure:
        cookie += "; Secure"
    return cookie.encode("latin-1")


class ContentSecurityPolicy:
    """ASGI middleware: a Content-Security-Policy that allows a page's own inline scripts by hash.

    A script injected into the page later, such as by HTML in somebody's key, does not run. Must be
    placed inside of compression.
    """

    def __init__(self, app: ASGIApp, also: str = "") -> None:
        """also: a further script source, such as `'unsafe-eval'`."""
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
