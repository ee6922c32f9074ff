"""What stands before the API: the site, the token, the rate, and the size of a body."""

from __future__ import annotations

import math

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import BogvError, TooLarge, TooManyRequests, Unauthorized
from bogv.web.access import Door
from bogv.web.envelope import Answers, path_of

OPEN = ("/health", "/docs", "/openapi.json", "/static-offline-docs")  # no gallery data in these


class Guard:
    """Refuses other sites' pages, asks for the token, counts, and stops a body that is too large,
    before any is parsed."""

    def __init__(self, app: ASGIApp, door: Door, max_body: int, answer: Answers) -> None:
        self.app = app
        self.door = door
        self.max_body = max_body
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(scope)
        except BogvError as error:
            response = self.answer.failure(scope, error.status, error.type, str(error))
            response.headers.update(retry_after(error))
            await response(scope, receive, send)
        else:
            if self.door.has_token(scope):
                send = self.door.remembering(scope, send)
            await self.app(scope, body_within(self.max_body, receive), send)

    def _check(self, scope: Scope) -> None:
        path = path_of(scope)
        is_open = any(path == each or path.startswith(f"{each}/") for each in OPEN)
        self.door.sites.check(scope)
        if not is_open:
            self.door.count(scope)
        if not self.door.opens_to(scope) and not is_open:
            raise Unauthorized("The token is missing or wrong.")
        check_declared(scope, self.max_body)


def check_declared(scope: Scope, max_body: int) -> None:
    """Raises TooLarge for a body that says itself that it is larger than the limit, in bytes."""
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and int(length) > max_body:
        raise TooLarge(_too_large(max_body))


def body_within(max_body: int, receive: Receive) -> Receive:
    """`receive`, which raises HTTPException 413 once more than the limit has come, in bytes."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_body:
            raise HTTPException(413, _too_large(max_body))
        return message

    return limited


def _too_large(max_body: int) -> str:
    return f"The request is larger than the limit of {max_body:,} bytes."


def retry_after(error: BogvError) -> dict[str, str]:
    """The header that says after how many seconds to come again, where the error knows it."""
    if isinstance(error, TooManyRequests):
        return {"Retry-After": str(math.ceil(error.seconds))}
    return {}
