"""Log lines, as text or as JSON, each with the id of the request that it belongs to."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TextIO

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.config import LogFormat

HEADER = "X-Request-ID"
NO_ROUTE = "(none)"
QUIET = ("httpx", "faiss", "milvus_lite")  # each call of theirs is a line

log = logging.getLogger("bogv.access")

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(eq=False)
class RequestInfo:
    """What is told of a request once it is answered. The same object in all of its threads."""

    id: str
    route: str = ""
    """A template, never the path itself: what callers make up must not fill logs and metrics."""
    status: int = 0
    """Of HTTP; 0: there was no answer."""
    error: str = ""
    """The type in the error's envelope."""
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """`ok`, the error's type, `http-404` and the like, or `aborted` without an answer."""
        if self.error or not self.status:
            return self.error or "aborted"
        return "ok" if self.status < 400 else f"http-{self.status}"


_current: ContextVar[RequestInfo | None] = ContextVar("bogv_request", default=None)


def current() -> RequestInfo | None:
    """The request that is being handled, also in the threads that it was handed to."""
    return _current.get()


@contextmanager
def handling(request_id: str) -> Iterator[None]:
    """Lines that are written in the block belong to this request, though it may be answered."""
    token = _current.set(RequestInfo(request_id))
    try:
        yield
    finally:
        _current.reset(token)


class RequestLog:
    """ASGI middleware: gives each request an id, and a log line when it is answered.

    The id is the caller's `X-Request-ID` if that is at most 64 letters, digits, `.`, `_` and `-`;
    else one is made, and put in its place.
    route_of: the template for a scope, where that is known before routing; else the route's own.
    finished: called after each request.
    """

    def __init__(
        self,
        app: ASGIApp,
        route_of: Callable[[Scope], str] | None = None,
        finished: Callable[[RequestInfo], None] | None = None,
    ) -> None:
        self.app = app
        self.route_of = route_of
        self.finished = finished

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        info = RequestInfo(_id_of(scope), self.route_of(scope) if self.route_of else "")
        # For work that is done later, from the request's headers alone: the demo's events.
        others = [each for each in scope["headers"] if each[0] != HEADER.lower().encode()]
        scope["headers"] = [*others, (HEADER.lower().encode(), info.id.encode())]
        token = _current.set(info)
        start = time.perf_counter()
        try:
            await self.app(scope, receive, _identified(send, info))
        finally:
            info.seconds = time.perf_counter() - start
            info.route = info.route or getattr(scope.get("route"), "path", "") or NO_ROUTE
            _write(info, scope)
            if self.finished is not None:
                self.finished(info)
            _current.reset(token)


def _id_of(scope: Scope) -> str:
    given = Headers(scope=scope).get(HEADER, "")
    return given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)


def _identified(send: Send, info: RequestInfo) -> Send:
    async def identified(message: Message) -> None:
        if message["type"] == "http.response.start":
            info.status = message["status"]
            message.setdefault("headers", [])
            MutableHeaders(scope=message)[HEADER] = info.id
        await send(message)

    return identified


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
    words = f"{fields['method']} {info.route} {info.status} {info.outcome}"
    log.info("%s %.1f ms %s", words, fields["ms"], client, extra={"fields": fields})


# Formats


class RequestFilter(logging.Filter):
    """Puts the request's id on each line that is written while the request is handled."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything pass."""
        info = _current.get()
        record.request_id = info.id if info else ""
        record.request_words = f" [{info.id}]" if info else ""
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """A line without its line break."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", ""):
            line["request_id"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def handler(log_format: LogFormat) -> logging.StreamHandler[TextIO]:
    """Writes to stderr."""
    made = logging.StreamHandler()
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s%(request_words)s"
    made.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(text))
    made.addFilter(RequestFilter())
    return made


def configure(log_format: LogFormat) -> None:
    """Have this process log so, and nothing else: for a server."""
    logging.basicConfig(level="INFO", handlers=[handler(log_format)], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel("WARNING")
