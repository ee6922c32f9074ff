"""What stands before gradio: its login, the rate, the size of a body, and the routes it may serve.

Gradio asks for the login route by route, and not at all of them (`cancel`, `heartbeat`). It fetches
any public URL that a browser names, without a limit on size: as the path of a file
(`/gradio_api/file=https://…`) and as the path of an upload. bogv fetches URLs in one place,
`Sources.from_url`, behind its own fence.
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
from bogv.web.envelope import path_of, retry_after
from bogv.web.throttling import Attempt

GRADIO = "/gradio_api/"
# The routes that the page and gradio_client ask for. Gradio has others: a proxy, screen recording,
# a run history, an editor of the app's own code.
SERVED = re.compile(
    r"(info|app_id|user|token|login_check|startup-events|theme\.css|upload|upload_progress|cancel"
    r"|reset|queue/(join|data)|heartbeat/\w+|call(/v2)?/\w+(/\w+)?|file[=/](?!\s*\w+:/).+)/?",
    re.DOTALL,
)
STREAM = re.compile(rf"{GRADIO}(heartbeat/\w+|queue/data|call(/v2)?/\w+/\w+)/?")
CLIENT_STREAMS = 100  # an office behind one address has many pages open
STREAMS = 400  # of the 1,000 connections (BOGV_MAX_CONNECTIONS)
# What the login page consists of: nothing of the gallery.
OPEN = re.compile(
    r"/|/log(in|out)/?|/(assets|static)/.+|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt"
)
LOGIN = ("/login", "/login/")
UPLOAD = (f"{GRADIO}upload", f"{GRADIO}upload/")


class GradioAccess:
    """ASGI middleware. 404 for gradio's routes that the demo doesn't need, 401 without a login."""

    def __init__(self, app: ASGIApp, access: AccessControl, gradio: Any, max_upload: int) -> None:
        """gradio: its app, which knows who is logged in. max_upload: bytes of one file."""
        self.app = app
        self.access = access
        self.gradio = gradio
        self.max_upload = max_demo_upload(max_upload)
        self.streams: Counter[str] = Counter()
        """Responses that last as long as a page is open, by client."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        limit = self.max_upload if path in UPLOAD else MAX_EVENT
        try:
            self._check(scope, path, limit)
        except BogvError as error:
            await _refusal(scope, error)(scope, receive, send)
            return
        if path.startswith(GRADIO) and not SERVED.fullmatch(path[len(GRADIO) :]):
            await PlainTextResponse("Not found", status_code=404)(scope, receive, send)
            return
        receive = limit_values(scope, limit_size(receive, limit))
        if scope["method"] == "GET" and STREAM.fullmatch(path):
            await self._stream(scope, receive, send)
        elif self.access.token is not None and scope["method"] == "POST" and path in LOGIN:
            await self._log_in(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = client_of(scope)
        if self.streams[client] >= CLIENT_STREAMS or self.streams.total() >= STREAMS:
            error = TooManyRequests("Too many pages of the demo are open.", 5.0)
            await _refusal(scope, error)(scope, receive, send)
            return
        self.streams[client] += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.streams -= Counter([client])  # drops the client at zero

    def _check(self, scope: Scope, path: str, limit: int) -> None:
        # What a page of another site reads there, it can't see; it would cost all the same.
        self.access.csrf.check(scope, check_reads=path.startswith(GRADIO))
        if not OPEN.fullmatch(path) and not self._logged_in(scope):
            raise Unauthorized("Not authenticated")
        if scope["method"] == "POST":  # all that makes work; pictures and scripts are for free
            self.access.check_rate(scope)
        check_content_length(scope, limit)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the login on once its body is whole: a slow one holds nobody up."""
        try:
            body = await Request(scope, receive).body()
            attempt = self.access.begin_attempt(scope)
        except ClientDisconnect:
            return
        except HTTPException as error:  # too large
            refusal = JSONResponse({"detail": error.detail}, error.status_code)
        except BogvError as error:
            refusal = _refusal(scope, error)
        else:
            with attempt:
                await self.app(scope, _replay(body), self._watch_login(scope, send, attempt))
            return
        await refusal(scope, receive, send)

    def _logged_in(self, scope: Scope) -> bool:
        """As gradio's own `get_current_user` finds out."""
        if self.access.token is None:
            return True
        cookies = Request(scope).cookies
        names = (f"access-token-{kind}{self.gradio.cookie_id}" for kind in ("", "unsecure-"))
        return any(cookies.get(name) in self.gradio.tokens for name in names)

    def _watch_login(self, scope: Scope, send: Send, attempt: Attempt) -> Send:
        remember_device = self.access.remember_device(scope, send)

        async def judging(message: Message) -> None:
            if message["type"] == "http.response.start":
                attempt.succeeded = message["status"] == 200
            await (remember_device if attempt.succeeded else send)(message)

        return judging


def _replay(body: bytes) -> Receive:
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return parts.pop() if parts else {"type": "http.disconnect"}

    return receive


def _refusal(scope: Scope, error: BogvError) -> JSONResponse:
    """As gradio's clients read it: `detail` is shown, or holds what the login page says."""
    detail: Any = {"error": str(error), "auth_message": LOGIN_PROMPT}
    if not isinstance(error, Unauthorized):
        language = language_of(Request(scope).headers.get("accept-language", ""))
        detail = error_text(language, error.type) or str(error)
    return JSONResponse({"detail": detail}, error.status, retry_after(error))
