"""The access log: an id and a log line for each request."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.logs import RequestInfo, request_context

HEADER = "X-Request-ID"
NO_ROUTE = "(none)"

log = logging.getLogger("bogv.access")

_VALID_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class AccessLog:
    """ASGI middleware: gives each request an id, and logs it once it is answered.

    The id is the caller's `X-Request-ID` if that is at most 64 letters, digits, `.`, `_` and `-`;
    otherwise a new one replaces it. It is set in the request's and in the response's headers.
    """

    def __init__(
        self,
        app: ASGIApp,
        find_route: Callable[[Scope], str] | None = None,
        on_end: Callable[[RequestInfo], None] | None = None,
    ) -> None:
        """find_route: a scope's route template; by default that of the app's router. on_end: called
        after each request."""
        self.app = app
        self.find_route = find_route
        self.on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        info = RequestInfo(_id_of(scope), self.find_route(scope) if self.find_route else "")
        # For events of the demo, which run after the request and see nothing of it but its headers.
        others = [each for each in scope["headers"] if each[0] != HEADER.lower().encode()]
        scope["headers"] = [*others, (HEADER.lower().encode(), info.id.encode())]
        start = time.perf_counter()
        with request_context(info):
            try:
                await self.app(scope, receive, _send_with_id(send, info))
            finally:
                info.seconds = time.perf_counter() - start
                info.route = info.route or getattr(scope.get("route"), "path", "") or NO_ROUTE
                _write(info, scope)
                if self.on_end is not None:
                    self.on_end(info)


def _id_of(scope: Scope) -> str:
    given = Headers(scope=scope).get(HEADER, "")
    return given if _VALID_ID.fullmatch(given) else secrets.token_hex(8)


def _send_with_id(send: Send, info: RequestInfo) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            info.status = message["status"]
            message.setdefault("headers", [])
            MutableHeaders(scope=message)[HEADER] = info.id
        await send(message)

    return send_with_id


def _write(info: RequestInfo, scope: Scope) -> None:
    client = (scope.get("client") or ("-",))[0]
    fields = {
        "method": scope["method"],
        "route": info.route,
        "status": info.status,
        "outcome": info.outcome,
        "ms": round(1000 * info.seconds, 1),
        "client": client,
    }
    summary = f"{fields['method']} {info.route} {info.status} {info.outcome}"
    log.info("%s %.1f ms %s", summary, fields["ms"], client, extra={"fields": fields})
