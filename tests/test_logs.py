"""The formats of log lines."""

from __future__ import annotations

import json
import logging
import sys

from bogv import logs
from bogv.config import LogFormat
from bogv.logs import RequestInfo


def written(log_format: LogFormat) -> logging.Handler:
    handler = logs.make_handler(log_format)
    assert handler.stream is sys.stderr
    return handler


def record(message: str, *args: object, exception: Exception | None = None) -> logging.LogRecord:
    info = (type(exception), exception, None) if exception else None
    return logging.LogRecord("bogv.x", logging.WARNING, "f", 1, message, args, info)


def test_json_logs_are_one_object_per_line() -> None:
    handler = written("json")
    made = record("猫 %s", "a\nb", exception=ValueError("two\nlines"))
    made.fields = {"route": "/x", "ms": 1.5}
    handler.filter(made)
    line = handler.format(made)
    assert "\n" not in line
    told = json.loads(line)
    assert (told["level"], told["logger"], told["message"]) == ("WARNING", "bogv.x", "猫 a\nb")
    assert (told["route"], told["ms"]) == ("/x", 1.5)
    assert "ValueError: two\nlines" in told["exception"]
    assert told["time"].endswith("+00:00")
    assert "request_id" not in told


def test_text_logs_end_with_the_request_id_if_there_is_one() -> None:
    handler = written("text")
    alone = record("hello")
    handler.filter(alone)
    assert handler.format(alone).endswith("WARNING bogv.x: hello")
    ours = record("hello")
    with logs.request_context(RequestInfo("abc")):
        handler.filter(ours)
    assert handler.format(ours).endswith("WARNING bogv.x: hello [abc]")
