"""The envelope of every answer of the API: `msg`, `code`, `data`, and `error` where it failed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from bogv.errors import BogvError, InvalidValue

log = logging.getLogger(__name__)

MESSAGES = {
    "add": ("存储图片成功!", "存储图片失败!"),
    "search": ("检索图片成功!", "检索图片失败!"),
    "del": ("删除图片成功!", "删除图片失败!"),
    "health": ("服务正常!", "服务异常!"),
    "": ("请求成功!", "请求失败!"),
}
_TYPES = {400: "invalid-request", 404: "no-such-route", 405: "method-not-allowed", 413: "too-large"}


def success(kind: str, data: Any) -> JSONResponse:
    """kind: a key of MESSAGES."""
    return JSONResponse({"msg": MESSAGES[kind][0], "code": 200, "data": data})


class Answers:
    """Failures as envelopes."""

    def __init__(self, always_200: bool) -> None:
        self._always_200 = always_200

    def failure(self, scope: Scope, status: int, name: str, detail: str) -> JSONResponse:
        """The envelope of a failure, with the message that goes with the path."""
        kind = _kind(scope)
        body = {"msg": MESSAGES[kind][1], "code": 500, "data": None}
        body["error"] = {"type": name, "detail": detail}
        headers = {"Retry-After": "5"} if status == 503 else None
        # Health checks read the status alone: it stays true.
        shown = 200 if self._always_200 and kind != "health" else status
        return JSONResponse(body, shown, headers)


def path_of(scope: Scope) -> str:
    """The path below the mount."""
    path = str(scope["path"])
    return path.removeprefix(scope.get("root_path", ""))


def _kind(scope: Scope) -> str:
    parts = path_of(scope).strip("/").split("/")
    kind = parts[2] if parts[:2] == ["image", "sim"] and len(parts) > 2 else parts[0]
    return kind if kind in MESSAGES else ""


def handle_errors(api: FastAPI, answer: Answers) -> None:
    """Answer every error with the envelope."""
    Handler = Callable[[Request, Any], JSONResponse]  # noqa: N806

    def bogv_error(request: Request, error: BogvError) -> JSONResponse:
        return answer.failure(request.scope, error.status, error.type, str(error))

    def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        details = "; ".join(_detail(each) for each in error.errors()[:3])
        return answer.failure(request.scope, 422, InvalidValue.type, details)

    def http_error(request: Request, error: HTTPException) -> JSONResponse:
        name = _TYPES.get(error.status_code, "invalid-request")
        detail = f"{error.detail.rstrip('.')}."
        response = answer.failure(request.scope, error.status_code, name, detail)
        response.headers.update(error.headers or {})
        return response

    def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("Unexpected: %s", request.url.path, exc_info=error)
        detail = "Something went wrong that should not; the server's log says what."
        return answer.failure(request.scope, 500, BogvError.type, detail)

    handlers: dict[type[Exception], Handler] = {
        BogvError: bogv_error,
        RequestValidationError: validation_error,
        HTTPException: http_error,
        Exception: unexpected,
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


def _detail(error: dict[str, Any]) -> str:
    """`limit: Input should be less than or equal to 1000.`"""
    names = [part for part in error["loc"] if isinstance(part, str) and part != "body"]
    return f"{'.'.join(names) or 'The body'}: {error['msg']}."
