"""The envelope of every API response: `msg`, `code`, `data`, and `error` of a failure."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import BogvError, InvalidValue, StorageUnavailable, TooManyRequests
from bogv.logs import current_request
from bogv.web.access_log import NO_ROUTE

log = logging.getLogger(__name__)

MESSAGES = {
    "add": ("存储图片成功!", "存储图片失败!"),
    "search": ("检索图片成功!", "检索图片失败!"),
    "del": ("删除图片成功!", "删除图片失败!"),
    "health": ("服务正常!", "服务异常!"),
    "": ("请求成功!", "请求失败!"),
}
_TYPES = {400: "invalid-request", 404: "no-such-route", 405: "method-not-allowed", 413: "too-large"}


def success(kind: str, data: Any, **more: Any) -> JSONResponse:
    """The envelope of a success. kind: a key of MESSAGES. more: fields beside `data`."""
    return JSONResponse({"msg": MESSAGES[kind][0], "code": 200, "data": data, **more})


class Envelopes:
    """Makes the envelopes of failures."""

    def __init__(self, always_200: bool) -> None:
        """always_200: send HTTP status 200 with failures too, for clients that expect it."""
        self._always_200 = always_200

    def failure(self, scope: Scope, status: int, name: str, detail: str) -> JSONResponse:
        """status: HTTP. name: the error type."""
        kind = _kind(scope)
        body: dict[str, Any] = {"msg": MESSAGES[kind][1], "code": 500, "data": None}
        body["error"] = {"type": name, "detail": detail}
        request = current_request()
        if request is not None:
            request.error = name
            body["error"]["request_id"] = request.id
        headers = {"Retry-After": "5"} if status == 503 else None
        # Health checks read nothing but the status.
        shown = 200 if self._always_200 and kind != "health" else status
        return JSONResponse(body, shown, headers)


def retry_after(error: BogvError) -> dict[str, str]:
    """The `Retry-After` header, in seconds, if the error specifies it."""
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(math.ceil(error.seconds))}
    return {}


def path_of(scope: Scope) -> str:
    """The path below the mount."""
    path = str(scope["path"])
    return path.removeprefix(scope.get("root_path", ""))


def route_finder(api: FastAPI) -> Callable[[Scope], str]:
    """A function from a scope to its route, or NO_ROUTE, also before routing. No route has path
    parameters."""
    known = {route.path for route in api.routes if isinstance(route, Route)}

    def find_route(scope: Scope) -> str:
        path = path_of(scope)
        return f"/api{path}" if path in known else NO_ROUTE

    return find_route


def _kind(scope: Scope) -> str:
    parts = path_of(scope).strip("/").split("/")
    kind = parts[2] if parts[:2] == ["image", "sim"] and len(parts) > 2 else parts[0]
    return kind if kind in MESSAGES else ""


def handle_errors(api: FastAPI, envelopes: Envelopes) -> None:
    """Have the API answer expected errors with an envelope. `InternalErrors` answers the rest."""
    # Coroutines, which need no thread: all may be busy.
    Handler = Callable[[Request, Any], Coroutine[Any, Any, JSONResponse]]  # noqa: N806

    async def bogv_error(request: Request, error: BogvError) -> JSONResponse:
        return envelopes.failure(request.scope, error.status, error.type, str(error))

    async def validation_error(request: Request, error: RequestValidationError) -> JSONResponse:
        details = "; ".join(_detail(each) for each in error.errors()[:3])
        return envelopes.failure(request.scope, 422, InvalidValue.type, details)

    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        # FastAPI answers 400 to any error while it reads a body.
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno:  # a time-out has no errno
            full = StorageUnavailable(f"The body can't be stored: {cause.strerror}.")
            return await bogv_error(request, full)
        if isinstance(cause, ValueError | RecursionError):
            return await bogv_error(request, InvalidValue("The body can't be parsed."))
        name = _TYPES.get(error.status_code, "invalid-request")
        detail = f"{error.detail.rstrip('.')}."
        if error.status_code == 404:
            docs = f"{request.scope.get('root_path', '')}/docs"
            detail = f"There is no such route; {docs} lists the routes."
        response = envelopes.failure(request.scope, error.status_code, name, detail)
        response.headers.update(error.headers or {})
        return response

    handlers: dict[type[Exception], Handler] = {
        BogvError: bogv_error,
        RequestValidationError: validation_error,
        HTTPException: http_error,
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


class InternalErrors:
    """ASGI middleware: answers an unexpected exception with an envelope that reveals nothing, and
    logs it.

    Not an exception handler of starlette's: that of `Exception` is called outside of all
    middleware, so that its response would have no request id.
    """

    def __init__(self, app: ASGIApp, envelopes: Envelopes) -> None:
        self.app = app
        self.envelopes = envelopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI. Raises the exception if the response has started already."""
        started = False

        async def send_and_note_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note_start)
        except Exception:
            if started:
                raise
            log.exception("Unexpected error: %r", path_of(scope))
            detail = "An unexpected error occurred; the server's log has the details."
            await self.envelopes.failure(scope, 500, BogvError.type, detail)(scope, receive, send)


def _detail(error: dict[str, Any]) -> str:
    """`limit: Input should be less than or equal to 1000.`"""
    # The first string is the field; the rest says which of its types pydantic tried.
    names = [part for part in error["loc"] if isinstance(part, str) and part != "body"]
    why = "There is no such field" if error["type"] == "extra_forbidden" else error["msg"]
    return f"{next(iter(names), 'The body')}: {why}."
