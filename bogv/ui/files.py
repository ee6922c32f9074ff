"""Names for the files of the demo's visitors.

Gradio names a file by its path on the server, takes any path from any browser as an upload's, and
copies what lies there. Here the two are translated at its border, so that no path goes out and none
comes in: a file's name is good for the visitor who uploaded it or was shown it, and for nobody
else.
"""

from __future__ import annotations

import hmac
import itertools
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bogv.errors import BogvError, PathNotAllowed
from bogv.logs import RequestInfo, request_context
from bogv.sources.paths import open_without_links, read_file
from bogv.ui.components import request_language
from bogv.ui.strings import translate
from bogv.web.access_log import HEADER
from bogv.web.envelope import path_of

COOKIE = "bogv-visitor"
VISITOR_KEY = "bogv.visitor"  # in the ASGI scope
_ID = re.compile(r"[\w-]{43}", re.ASCII)  # 32 random bytes
# What a visitor comes in by; scripts and pictures of the page are the same for all.
_ENTRANCE = re.compile(r"/|/config/?|/gradio_api/.+", re.DOTALL)
_FILE = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)
_UPLOAD = re.compile(r"/gradio_api/upload/?")
MAX_FILES = 1_000
"""Of one event: each is looked at on the disk."""
_META = {"_type": "gradio.FileData"}
# What a browser may show in the page; the rest it saves.
_PICTURES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
}


class SignedFileNames:
    """`<MAC>/<hash of the content>/<file name>`: its place in the folder, signed for a visitor.

    The MAC is HMAC-SHA256 (RFC 2104) with a key of this process, over visitor and place. So there
    is nothing to remember: a name is good for as long as the file is there.
    """

    def __init__(self, folder: Path) -> None:
        """folder: gradio's upload folder, its links resolved."""
        self.folder = folder
        self._key = secrets.token_bytes(32)

    def name(self, path: Path, visitor: str) -> str:
        """Raises ValueError for a file outside the folder."""
        place = path.relative_to(self.folder).as_posix()
        return f"{self._mac(place, visitor)}/{place}"

    def path(self, name: object, visitor: str) -> Path:
        """Where the file lies that has this name. Raises PathNotAllowed for any other text, and for
        what is no regular file any more: gradio copies what a link leads to."""
        mac, _, place = str(name).partition("/")
        expected = self._mac(place, visitor)
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), expected.encode()):
            raise PathNotAllowed("The file was not uploaded by this visitor.")
        path = self.folder / place
        if path.resolve() != path or not path.is_file():
            raise PathNotAllowed("The file is no longer kept.")
        return path

    def _mac(self, place: str, visitor: str) -> str:
        signed = json.dumps([visitor, place]).encode()
        return hmac.new(self._key, signed, "sha256").hexdigest()

    def paths_in(self, value: Any, visitor: str, count: Iterator[int] | None = None) -> Any:
        """A browser's JSON, with paths for names wherever a file stands, however deep.

        A file is what gradio could take for one: an object with a `path`. Nothing else of it than
        its names is kept. count: of the files so far. Raises PathNotAllowed, also for more than
        MAX_FILES.
        """
        count = count or itertools.count(1)
        if isinstance(value, list):
            return [self.paths_in(each, visitor, count) for each in value]
        if not isinstance(value, dict):
            return value
        if "path" not in value:
            return {key: self.paths_in(each, visitor, count) for key, each in value.items()}
        if next(count) > MAX_FILES:
            raise PathNotAllowed(f"An event takes {MAX_FILES:,} files at most.")
        path = self.path(value["path"], visitor)
        orig_name = value.get("orig_name")
        name = orig_name if isinstance(orig_name, str) else path.name
        return {"path": str(path), "orig_name": name, "meta": _META}

    def names_in(self, value: Any, visitor: str, root: str) -> Any:
        """Gradio's answer, with names for paths. root: the page's URL. Raises ValueError."""
        if isinstance(value, list | tuple):
            return [self.names_in(each, visitor, root) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("meta") != _META or not isinstance(value.get("path"), str):
            return {key: self.names_in(each, visitor, root) for key, each in value.items()}
        name = self.name(Path(value["path"]), visitor)
        return {**value, "path": name, "url": f"{root}/gradio_api/file={quote(name)}"}


class VisitorFiles:
    """ASGI middleware: knows each visitor by a cookie, names uploads, and serves files by name.

    The visitor stands in the scope, for the events.
    """

    def __init__(self, app: ASGIApp, names: SignedFileNames, max_bytes: int) -> None:
        """max_bytes: of one file."""
        self.app = app
        self.names = names
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = path_of(scope)
        visitor = Request(scope).cookies.get(COOKIE, "")
        if not _ID.fullmatch(visitor):
            visitor = secrets.token_urlsafe(32)
            send = _set_visitor_cookie(visitor, scope, send) if _ENTRANCE.fullmatch(path) else send
        scope = {**scope, VISITOR_KEY: visitor}
        if file := _FILE.fullmatch(path):
            await (await self._serve(scope["method"], file[1], visitor))(scope, receive, send)
            return
        if _UPLOAD.fullmatch(path):
            send = self._sign_names(visitor, send)
        await self.app(scope, receive, send)

    async def _serve(self, method: str, name: str, visitor: str) -> Response:
        """One answer for what isn't there, what isn't the visitor's, and what is no file."""
        if method not in {"GET", "HEAD"}:
            return PlainTextResponse("Method not allowed", 405, {"Allow": "GET, HEAD"})
        try:
            path = self.names.path(name, visitor)
            data = await run_in_threadpool(read_file, path, self.max_bytes, open_without_links)
        except BogvError:
            return PlainTextResponse("File not allowed", 403)
        kind = _PICTURES.get(path.suffix.lower())
        headers = {"Cache-Control": "private, max-age=3600", "Content-Length": str(len(data))}
        if kind is None:
            headers["Content-Disposition"] = "attachment"
        body = data if method == "GET" else b""
        return Response(body, 200, headers, kind or "application/octet-stream")

    def _sign_names(self, visitor: str, send: Send) -> Send:
        """Gradio answers an upload with a list of paths."""
        held: Message | None = None
        answer = bytearray()

        async def naming(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and message["status"] == 200:
                held = message
                return
            if held is not None and message["type"] == "http.response.body":
                answer.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                names = [self.names.name(Path(each), visitor) for each in json.loads(answer)]
                message = {"type": "http.response.body", "body": json.dumps(names).encode()}
                MutableHeaders(scope=held)["Content-Length"] = str(len(message["body"]))
                await send(held)
            await send(message)

        return naming


def _set_visitor_cookie(visitor: str, scope: Scope, send: Send) -> Send:
    path = scope.get("root_path") or "/"
    cookie = f"{COOKIE}={visitor}; HttpOnly; SameSite=Lax; Path={path}"

    async def introducing(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Set-Cookie", cookie)
        await send(message)

    return introducing


class VisitorBlocks(gr.Blocks):
    """Blocks that takes files by their visitor's names alone, and knows whose event it handles."""

    names: SignedFileNames

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Called by gradio for each event, whatever its route, before it looks at what came; long
        after the request that asked for it was answered: what is logged meanwhile carries that
        request's id. Raises gr.Error for a file that is not the visitor's."""
        request = kwargs.get("request")
        asked = request if isinstance(request, gr.Request) else None
        visitor = asked.request.scope[VISITOR_KEY] if asked and asked.request else ""
        known = asked.headers.get(HEADER.lower()) if asked else None
        event = kwargs.get("event_data")  # of a click on a picture: its file, among others
        try:
            kwargs["inputs"] = await run_in_threadpool(
                self.names.paths_in, kwargs["inputs"], visitor
            )
            if event is not None:
                event._data = await run_in_threadpool(self.names.paths_in, event._data, visitor)
        except PathNotAllowed as error:
            words = translate(request_language(asked) if asked else "en", "not_uploaded")
            raise gr.Error(words, title="bogv", print_exception=False) from error
        with request_context(RequestInfo(known)) if known else nullcontext():
            output = await super().process_api(*args, **kwargs)
        root = kwargs.get("root_path") or ""
        return {**output, "data": self.names.names_in(output["data"], visitor, root)}
