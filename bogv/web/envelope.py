"""The envelope of every answer of the API: `msg`, `code`, `data`, and `error` where it failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv import logs
from bogv.errors import BogvError, InvalidValue, StorageUnavailable

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
        body: dict[str, Any] = {"msg": MESSAGES[kind][1], "code": 500, "data": None}
        body["error"] = {"type": name, "detail": detail}
        request = logs.current()
        if request is not None:
            request.error = name
            body["error"]["request_id"] = request.id
        headers = {"Retry-After": "5"} if status == 503 else None
        # Health checks read the status alone: it stays true.
        shown = 200 if self._always_200 and kind != "health" else status
        return JSONResponse(body, shown, headers)


def path_of(scope: Scope) -> str:
    """The path below the mount."""
    path = str(scope["path"])
    return path.removeprefix(scope.get("root_path", ""))


def route_of(api: FastAPI) -> Callable[[Scope], str]:
    """Finds a scope's route, as callers write it; none of them has a parameter."""
    known = {route.path for route in api.routes if isinstance(route, Route)}

    def route(scope: Scope) -> str:
        path = path_of(scope)
        return f"/api{path}" if path in known else logs.NO_ROUTE

    return route


def _kind(scope: Scope) -> str:
    parts = path_of(scope).strip("/").split("/")
    kind = parts[2] if parts[:2] == ["image", "sim"] and len(parts) > 2 else parts[0]
    return kind if kind in MESSAGES else ""


def handle_errors(api: FastAPI, answer: Answers) -> None:
    """Answer every error that has a class with the envelope; `Unexpected` answers the rest."""
    # Coroutines: they must not wait for a thread while all are busy.
    Handler = Callable[[Request, Any], Coroutine[Any, Any, JSONResponse]]  # noqa: N806

    async def bogv_error(request: Request, error: BogvError) -> JSONResponse:
        return answer.failure(request.scope, error.status, error.type, str(error))

    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        details = "; ".join(_detail(each) for each in error.errors()[:3])
        return answer.failure(request.scope, 422, InvalidValue.type, details)

    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        # FastAPI calls all that goes wrong while it reads a body the client's fault, a 400.
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno:  # a time-out has none
            full = StorageUnavailable(f"The body can't be kept: {cause.strerror}.")
            return await bogv_error(request, full)
        if isinstance(cause, ValueError | RecursionError):
            return await bogv_error(request, InvalidValue("The body holds what can't be read."))
        name = _TYPES.get(error.status_code, "invalid-request")
        detail = f"{error.detail.rstrip('.')}."
        if error.status_code == 404:
            docs = f"{request.scope.get('root_path', '')}/docs"
            detail = f"There is no such route; {docs} shows which there are."
        response = answer.failure(request.scope, error.status_code, name, detail)
        response.headers.update(error.headers or {})
        return response

    handlers: dict[type[Exception], Handler] = {
        BogvError: bogv_error,
        RequestValidationError: validation_error,
        HTTPException: http_error,
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


class Unexpected:
    """ASGI middleware: a fault of ours is logged, and told without what it was.

    Not starlette's handler of `Exception`: that one stands outside of all middleware, and its
    answer would have no request id.
    """

    def __init__(self, app: ASGIApp, answer: Answers) -> None:
        self.app = app
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Raises the fault where an answer has begun already."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            if begun:
                raise
            log.exception("Unexpected: %r", path_of(scope))
            detail = "Something went wrong that should not; the server's log says what."
            await self.answer.failure(scope, 500, BogvError.type, detail)(scope, receive, send)


def _detail(error: dict[str, Any]) -> str:
    """`limit: Input should be less than or equal to 1000.`"""
    # Behind the field's name comes which of its types pydantic tried.
    names = [part for part in error["loc"] if isinstance(part, str) and part != "body"]
    return f"{next(iter(names), 'The body')}: {error['msg']}."
