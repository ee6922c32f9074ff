"""Limits on request bodies: their size, how slowly they may arrive, and what is done with a body
that is not read to its end."""

from __future__ import annotations

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import TooLarge

MAX_FIELD = 64 * 1024  # bytes of a form field that is not a file
MAX_EVENT = 4 * 1024 * 1024  # bytes of a gradio event: the names of 1000 uploaded files are 1 MB
UPLOAD_FILES = 50  # files of the largest size in one upload to the demo; more of smaller ones
MAX_VALUES = 20_000  # in a JSON body: 10,000 ids or keys, or 1,000 of gradio's files, have fewer
IDLE_SECONDS = 20.0  # between two parts of a body

# The defaults of Apache's mod_reqtimeout: `RequestReadTimeout header=20-40,MinRate=500
# body=20,MinRate=500`. Headers end at 64 KiB (h11).
READ_SECONDS = 20.0  # for headers or a body
MIN_RATE = 500  # bytes a second, each of which extends that time


def max_api_body(max_upload: int) -> int:
    """Bytes of a request to the API, given those of one image: Base64 takes 4 bytes for 3; the rest
    is for the other fields and the multipart framing."""
    return max_upload * 4 // 3 + 65536


def max_demo_upload(max_upload: int) -> int:
    """Bytes of one upload to the demo, given those of one image."""
    return UPLOAD_FILES * max_upload


def read_timeout(received: int) -> float:
    """Seconds that headers or a body may take, given the bytes received so far."""
    return READ_SECONDS + received / MIN_RATE


def check_content_length(scope: Scope, max_body: int) -> None:
    """Raises TooLarge if the Content-Length exceeds the limit, in bytes."""
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and int(length) > max_body:
        raise TooLarge(_too_large(max_body))


def limit_size(receive: Receive, max_body: int) -> Receive:
    """Wrap `receive` to raise HTTPException 413 once more than `max_body` bytes were received."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_body:
            raise HTTPException(413, _too_large(max_body))
        return message

    return limited


def limit_idle_time(receive: Receive) -> Receive:
    """Wrap `receive` to raise HTTPException 400 if no part of the body arrives in IDLE_SECONDS."""
    complete = False

    async def limited() -> Message:
        nonlocal complete
        if complete:  # after the body, the next message is the disconnect, whenever that comes
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), IDLE_SECONDS)
        except (asyncio.TimeoutError, TimeoutError) as error:
            detail = f"Timed out reading the body: nothing was received for {IDLE_SECONDS:.0f} s."
            raise HTTPException(400, detail) from error
        complete = not message.get("more_body", False)
        return message

    return limited


def limit_values(scope: Scope, receive: Receive) -> Receive:
    """Wrap `receive` to raise HTTPException 413 for JSON of more than MAX_VALUES values.

    A megabyte of `[],[],` keeps what parses, checks and copies it busy for seconds, in the event
    loop's thread. Counted before it is parsed, commas in texts too. Forms go to the disk, not to a
    JSON parser.
    """
    kind: bytes = dict(scope["headers"]).get(b"content-type", b"").strip().lower()
    if scope["method"] in {"GET", "HEAD"} or kind.startswith((b"multipart/", b"application/x-www")):
        return receive
    is_read = False

    async def limited() -> Message:
        nonlocal is_read
        if is_read:  # what follows is the disconnect
            return await receive()
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return message
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        is_read = True
        if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
            raise HTTPException(413, f"The JSON has more than {MAX_VALUES:,} values.")
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return limited


class CloseUnread:
    """ASGI middleware: closes the connection if a large body was not read before the response.

    uvicorn would otherwise receive and discard the rest, however long it is. A body with a
    Content-Length of at most DISCARDED is still received: closing early could cost the client the
    response.
    """

    DISCARDED = 64 * 1024 * 1024  # bytes

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        length = headers.get(b"content-length", b"0")
        complete = b"transfer-encoding" not in headers and int(length) <= self.DISCARDED

        async def receive_and_note_end() -> Message:
            nonlocal complete
            message = await receive()
            complete = complete or not message.get("more_body")
            return message

        async def send_with_close(message: Message) -> None:
            if message["type"] == "http.response.start" and not complete:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive_and_note_end, send_with_close)


def _too_large(max_body: int) -> str:
    return f"The request is larger than the limit of {max_body:,} bytes."
