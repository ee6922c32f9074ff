"""ASGI middleware in front of Gradio: login, rate limit, body size and the allowed routes.

Gradio checks the login in each route, but not in all of them (`cancel`, `heartbeat`). It downloads
any public URL that a browser gives as the path of a file (`/gradio_api/file=https://…`) or of an
upload, without a size limit. bogv downloads URLs in `Sources.from_url` only, with checks and
limits.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import BogvError, TooManyRequests, Unauthorized
from bogv.ui.strings import LOGIN_PROMPT, error_text, language_of
from bogv.web.access import AccessControl, client_of
from bogv.web.bodies import (
    MAX_EVENT,
    check_content_length,
    limit_size,
    limit_values,
    max_demo_upload,
)
from bogv.web.connections import mark_endless
from bogv.web.envelope import path_of, retry_after
from bogv.web.throttling import Attempt

GRADIO_PREFIX = "/gradio_api/"
# Routes that the page and gradio_client use, below GRADIO_PREFIX. Gradio has others: a proxy,
# screen recording, a run history, an editor of the app's source code.
ALLOWED_ROUTES = re.compile(
    r"(info|app_id|user|token|login_check|startup-events|theme\.css|upload|upload_progress|cancel"
    r"|reset|queue/(join|data)|heartbeat/\w+|call(/v2)?/\w+(/\w+)?|file[=/](?!\s*\w+:/).+)/?",
    re.DOTALL,
)
STREAM_ROUTES = re.compile(rf"{GRADIO_PREFIX}(heartbeat/\w+|queue/data|call(/v2)?/\w+/\w+)/?")
HEARTBEATS = f"{GRADIO_PREFIX}heartbeat/"  # streams without an end; others end with their events
MAX_STREAMS_PER_CLIENT = 100  # an office behind one IP address may have many pages open
MAX_STREAMS = 400  # of the 1,000 connections (BOGV_MAX_CONNECTIONS)
# Reachable without a login: the parts of the login page, which show nothing of the gallery.
PUBLIC_ROUTES = re.compile(
    r"/|/log(in|out)/?|/(assets|static)/.+|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
)
LOGIN_PATHS = ("/login", "/login/")
UPLOAD_PATHS = (f"{GRADIO_PREFIX}upload", f"{GRADIO_PREFIX}upload/")


class GradioAccess:
    """ASGI middleware: 401 without a login, 404 for routes of gradio that the demo doesn't use."""

    def __init__(self, app: ASGIApp, access: AccessControl, gradio: Any, max_upload: int) -> None:
        """gradio: gradio's app, which holds the logins. max_upload: bytes of one file."""
        self.app = app
        self.access = access
        self.gradio = gradio
        self.max_upload = max_demo_upload(max_upload)
        self.streams: Counter[str] = Counter()
        """Open streaming responses, which last as long as a page is open, by client address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        max_bytes = self.max_upload if path in UPLOAD_PATHS else MAX_EVENT
        try:
            self._check_request(scope, path, max_bytes)
        except BogvError as error:
            await _build_rejection(scope, error)(scope, receive, send)
            return
        if path.startswith(GRADIO_PREFIX) and not ALLOWED_ROUTES.fullmatch(
            path[len(GRADIO_PREFIX) :]
        ):
            await PlainTextResponse("Not found", status_code=404)(scope, receive, send)
            return
        receive = limit_values(scope, limit_size(receive, max_bytes))
        if scope["method"] == "GET" and STREAM_ROUTES.fullmatch(path):
            await self._serve_stream(scope, receive, send)
        elif self.access.token is not None and scope["method"] == "POST" and path in LOGIN_PATHS:
            await self._log_in(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = client_of(scope)
        is_full = self.streams.total() >= MAX_STREAMS
        if is_full or self.streams[client] >= MAX_STREAMS_PER_CLIENT:
            error = TooManyRequests("Too many pages of the demo are open.", 5.0)
            await _build_rejection(scope, error)(scope, receive, send)
            return
        if path_of(scope).startswith(HEARTBEATS):
            mark_endless(scope)
        self.streams[client] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.streams -= Counter([client])  # unlike `-= 1`, removes the client at zero

    def _check_request(self, scope: Scope, path: str, max_bytes: int) -> None:
        # Another site's page can't read the response to a GET, but it would use server resources.
        self.access.csrf.check(scope, check_reads=path.startswith(GRADIO_PREFIX))
        if not PUBLIC_ROUTES.fullmatch(path) and not self._is_logged_in(scope):
            raise Unauthorized("Not authenticated")
        if scope["method"] == "POST":  # events and uploads; scripts and pictures are cheap
            self.access.check_rate(scope)
        check_content_length(scope, max_bytes)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the attempt after the body has arrived: a slow body must not block other logins."""
        try:
            body = await Request(scope, receive).body()
            attempt = self.access.begin_attempt(scope)
        except ClientDisconnect:
            return
        except HTTPException as error:  # too large
            rejection = JSONResponse({"detail": error.detail}, error.status_code)
        except BogvError as error:
            rejection = _build_rejection(scope, error)
        else:
            with attempt:
                await self.app(scope, _replay(body), self._watch_login(scope, send, attempt))
            return
        await rejection(scope, receive, send)

    def _is_logged_in(self, scope: Scope) -> bool:
        """The same check as gradio's `get_current_user`."""
        if self.access.token is None:
            return True
        cookies = Request(scope).cookies
        names = (f"access-token-{kind}{self.gradio.cookie_id}" for kind in ("", "unsecure-"))
        return any(cookies.get(name) in self.gradio.tokens for name in names)

    def _watch_login(self, scope: Scope, send: Send, attempt: Attempt) -> Send:
        """Wrap `send` to note whether the login succeeded; if so, set the cookie of the device."""
        remember_device = self.access.remember_device(scope, send)

        async def send_and_watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                attempt.succeeded = message["status"] == 200
            await (remember_device if attempt.succeeded else send)(message)

        return send_and_watch


def _replay(body: bytes) -> Receive:
    """A `receive` that delivers a body that was read before."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _build_rejection(scope: Scope, error: BogvError) -> JSONResponse:
    """An error in gradio's format: its clients show `detail`, the login page its `auth_message`."""
    detail: Any = {"error": str(error), "auth_message": LOGIN_PROMPT}
    if not isinstance(error, Unauthorized):
        language = language_of(Request(scope).headers.get("accept-language", ""))
        detail = error_text(language, error.type) or str(error)
    return JSONResponse({"detail": detail}, error.status, retry_after(error))
