"""Logging as text or JSON, with the id of the current request in each line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TextIO

from bogv.config import LogFormat

QUIET = ("httpx", "faiss", "milvus_lite")  # at INFO they log every call


@dataclass(eq=False)
class RequestInfo:
    """A request and its outcome. All threads that handle the request share the object."""

    id: str
    route: str = ""
    """The template, not the path: clients must not be able to create any number of metrics."""
    status: int = 0
    """The HTTP status; 0: no response was sent."""
    error: str = ""
    """The error type in the response's envelope, empty if none."""
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """`ok`, the error type, or else `http-<status>`, or `aborted` without a response."""
        if self.error or not self.status:
            return self.error or "aborted"
        return "ok" if self.status < 400 else f"http-{self.status}"


_current: ContextVar[RequestInfo | None] = ContextVar("bogv_request", default=None)


def current_request() -> RequestInfo | None:
    """The request being handled, also in the threads started for it; None outside a request."""
    return _current.get()


@contextmanager
def request_context(info: RequestInfo) -> Iterator[None]:
    """Add this request's id to the log lines written in the block."""
    token = _current.set(info)
    try:
        yield
    finally:
        _current.reset(token)


class RequestFilter(logging.Filter):
    """Adds the current request's id to log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        info = _current.get()
        record.request_id = info.id if info else ""
        record.request_suffix = f" [{info.id}]" if info else ""
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and optional fields."""

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


def make_handler(log_format: LogFormat) -> logging.StreamHandler[TextIO]:
    """A handler that writes to stderr."""
    handler = logging.StreamHandler()
    text = "%(asctime)s %(levelname)s %(name)s: %(message)s%(request_suffix)s"
    handler.setFormatter(JsonFormatter() if log_format == "json" else logging.Formatter(text))
    handler.addFilter(RequestFilter())
    return handler


def configure(log_format: LogFormat) -> None:
    """Replace this process' logging configuration by the server's."""
    logging.basicConfig(level="INFO", handlers=[make_handler(log_format)], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel("WARNING")
