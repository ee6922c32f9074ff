"""What stands before the API: the token, and the size of a body."""

from __future__ import annotations

import hmac

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.envelope import Answers, path_of

_OPEN = ("/health", "/docs", "/openapi.json", "/static-offline-docs")  # no gallery data in these


def has_token(scope: Scope, token: str | None) -> bool:
    """Whether a request brings the token, or needs none."""
    given = dict(scope["headers"]).get(b"token", b"")
    return token is None or hmac.compare_digest(given, token.encode())


class Guard:
    """Asks for the token, and stops a body that is too large, before anything is parsed."""

    def __init__(self, app: ASGIApp, token: str | None, max_body: int, answer: Answers) -> None:
        self.app = app
        self.token = token
        self.max_body = max_body
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if not self._may_enter(scope):
            detail = "The token is missing or wrong."
            await self.answer.failure(scope, 401, "unauthorized", detail)(scope, receive, send)
        elif self._declared(scope) > self.max_body:
            await self.answer.failure(scope, 413, "too-large", self._too_large)(
                scope, receive, send
            )
        else:
            await self.app(scope, self._limited(receive), send)

    @property
    def _too_large(self) -> str:
        return f"The request is larger than the limit of {self.max_body:,} bytes."

    def _may_enter(self, scope: Scope) -> bool:
        path = path_of(scope)
        is_open = any(path == each or path.startswith(f"{each}/") for each in _OPEN)
        return is_open or has_token(scope, self.token)

    @staticmethod
    def _declared(scope: Scope) -> int:
        length = dict(scope["headers"]).get(b"content-length", b"")
        return int(length) if length.isdigit() else 0

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:
                raise HTTPException(413, self._too_large)
            return message

        return limited
