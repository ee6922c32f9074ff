"""Running behind a reverse proxy: the forwarding headers of trusted peers, and the root path."""

from __future__ import annotations

import logging
import re
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from bogv.web.csrf import is_private_host

log = logging.getLogger(__name__)

_FORWARDING = re.compile(rb"forwarded|x-forwarded-.*|x-gradio-server")


class TrustedProxies(ProxyHeadersMiddleware):
    """ASGI middleware: takes client, scheme and host from the forwarding headers of trusted peers.

    The host only if the proxy replaced `Host` with a private name of its own. A proxy that passes
    the browser's `Host` on often passes its `X-Forwarded-Host` on too: a page whose name was made
    to resolve to this server (DNS rebinding) could then claim any other name.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        client = scope.get("client")
        if scope["type"] == "http" and client and client[0] in self.trusted_hosts:
            headers = Headers(scope=scope)
            # The proxy appends its own value; those before it may be the client's.
            host = ",".join(headers.getlist("x-forwarded-host")).rpartition(",")[2].strip()
            if host and is_private_host(headers.get("host", "localhost")):
                others = [each for each in scope["headers"] if each[0] != b"host"]
                scope = {**scope, "headers": [(b"host", host.encode("latin-1")), *others]}
        await super().__call__(scope, receive, send)


class StripForwarding:
    """ASGI middleware: removes all forwarding headers, once TrustedProxies has read them.

    Gradio would believe them from anybody. `trusts_some`: whether any proxy is trusted; if none is,
    the first request with such headers is logged as a likely misconfiguration.
    """

    def __init__(self, app: ASGIApp, trusts_some: bool = False) -> None:
        self.app = app
        self._warned = trusts_some

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan":
            kept = [each for each in scope["headers"] if not _FORWARDING.fullmatch(each[0])]
            if len(kept) < len(scope["headers"]) and not self._warned:
                self._warned = True
                log.warning(
                    "Forwarding headers (X-Forwarded-For and the like) from an untrusted peer were"
                    " ignored. If bogv runs behind a proxy, set BOGV_TRUSTED_PROXIES to its"
                    " address; until then, all clients behind it count as one."
                )
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, send)


class RootPath:
    """ASGI middleware: sets the ASGI root path, whether or not the proxy strips it from paths."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app = app
        self.root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan" and self.root_path:
            if scope["path"] == self.root_path:  # relative links need the slash at its end
                await RedirectResponse(f"{self.root_path}/")(scope, receive, send)
                return
            path = scope["path"]
            if not path.startswith(f"{self.root_path}/"):
                path = self.root_path + path
            scope = {**scope, "path": path, "root_path": self.root_path}
        await self.app(scope, receive, send)
