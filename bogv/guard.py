"""What stands before the API: the token, the rate, and the size of a body."""

from __future__ import annotations

import math

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.envelope import Answers, path_of
from bogv.errors import BogvError, ForeignSite, TooLarge, TooManyRequests, Unauthorized
from bogv.limits import Door

OPEN = ("/health", "/docs", "/openapi.json", "/static-offline-docs")  # no gallery data in these


class Guard:
    """Asks for the token, counts, and stops a body that is too large, before any is parsed."""

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
            await self.app(scope, body_within(self.max_body, receive), send)

    def _check(self, scope: Scope) -> None:
        path = path_of(scope)
        is_open = any(path == each or path.startswith(f"{each}/") for each in OPEN)
        check_site(scope)
        if not is_open:
            self.door.count(scope)
        if not self.door.opens_to(scope) and not is_open:
            raise Unauthorized("The token is missing or wrong.")
        check_declared(scope, self.max_body)


def check_site(scope: Scope) -> None:
    """Raises ForeignSite for a form that a page of another site had its visitor's browser send.

    Where no token is asked for, whoever runs a browser on the same network is no less let in than
    its user. Source: W3C, Fetch Metadata Request Headers; what is no browser doesn't send them.
    """
    site = dict(scope["headers"]).get(b"sec-fetch-site")
    if site == b"cross-site" and scope["method"] not in {"GET", "HEAD"}:
        raise ForeignSite("The request comes from a page of another site.")


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
