"""Signed names for the files of the demo's visitors.

Gradio sends server paths to the browser, accepts any path that comes back as an uploaded file, and
copies what is there. Here, paths are replaced by signed names in everything that goes to the
browser, and back in everything that comes from it. A name is valid only for the visitor who
uploaded the file or was shown it.
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
_VISITOR_ID = re.compile(r"[\w-]{43}", re.ASCII)  # 32 random bytes in Base64
# Paths that set the visitor cookie; scripts and pictures of the page are the same for everybody.
_COOKIE_PATHS = re.compile(r"/|/config/?|/gradio_api/.+", re.DOTALL)
_FILE = re.compile(r"/gradio_api/file[=/](.*)", re.DOTALL)
_UPLOAD = re.compile(r"/gradio_api/upload/?")
MAX_FILES = 1_000
"""In one event; each costs a look-up on the disk."""
_FILE_META = {"_type": "gradio.FileData"}
# Served for display in the page. Other types are downloads: HTML and SVG can contain scripts.
_INLINE_TYPES = {
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
    """Names of the form `<MAC>/<relative path>`, where gradio's relative path is
    `<hash of the content>/<file name>`.

    The MAC is HMAC-SHA256 (RFC 2104) over visitor and relative path, with a random key of this
    process. Names need no storage: they are valid until the file is deleted or the process ends.
    """

    def __init__(self, folder: Path) -> None:
        """folder: gradio's upload folder, with symbolic links resolved."""
        self.folder = folder
        self._key = secrets.token_bytes(32)

    def sign(self, path: Path, visitor: str) -> str:
        """The name of a file for a visitor. Raises ValueError for a file outside the folder."""
        relative_path = path.relative_to(self.folder).as_posix()
        return f"{self._mac(relative_path, visitor)}/{relative_path}"

    def resolve(self, name: object, visitor: str) -> Path:
        """The path of the file with a name.

        Raises PathNotAllowed for a name that is not the visitor's, and if the path is not a regular
        file or contains a symbolic link: gradio would copy the link's target.
        """
        mac, _, relative_path = str(name).partition("/")
        expected = self._mac(relative_path, visitor)
        if not hmac.compare_digest(mac.encode("utf-8", "replace"), expected.encode()):
            raise PathNotAllowed("The file was not uploaded by this visitor.")
        path = self.folder / relative_path
        if path.resolve() != path or not path.is_file():
            raise PathNotAllowed("The file was deleted.")
        return path

    def _mac(self, relative_path: str, visitor: str) -> str:
        signed = json.dumps([visitor, relative_path]).encode()
        return hmac.new(self._key, signed, "sha256").hexdigest()

    def replace_names(self, value: Any, visitor: str, count: Iterator[int] | None = None) -> Any:
        """JSON from a browser, with the names of all files replaced by paths, at any depth.

        Each object with a `path` counts as a file, as it could for gradio; other fields of it than
        `path` and `orig_name` are dropped. count: files so far. Raises PathNotAllowed for a name
        that `resolve` rejects, and for more than MAX_FILES files.
        """
        count = count or itertools.count(1)
        if isinstance(value, list):
            return [self.replace_names(each, visitor, count) for each in value]
        if not isinstance(value, dict):
            return value
        if "path" not in value:
            return {key: self.replace_names(each, visitor, count) for key, each in value.items()}
        if next(count) > MAX_FILES:
            raise PathNotAllowed(f"An event takes {MAX_FILES:,} files at most.")
        path = self.resolve(value["path"], visitor)
        orig_name = value.get("orig_name")
        name = orig_name if isinstance(orig_name, str) else path.name
        return {"path": str(path), "orig_name": name, "meta": _FILE_META}

    def replace_paths(self, value: Any, visitor: str, root: str) -> Any:
        """Output of gradio, with the paths of all files replaced by names.

        root: URL of the page. Raises ValueError for a file outside the folder.
        """
        if isinstance(value, list | tuple):
            return [self.replace_paths(each, visitor, root) for each in value]
        if not isinstance(value, dict):
            return value
        if value.get("meta") != _FILE_META or not isinstance(value.get("path"), str):
            return {key: self.replace_paths(each, visitor, root) for key, each in value.items()}
        name = self.sign(Path(value["path"]), visitor)
        return {**value, "path": name, "url": f"{root}/gradio_api/file={quote(name)}"}


class VisitorFiles:
    """ASGI middleware: identifies visitors by a cookie, signs the names of uploads, serves files.

    It stores the visitor in the ASGI scope, where `VisitorBlocks` reads it.
    """

    def __init__(self, app: ASGIApp, names: SignedFileNames, max_bytes: int) -> None:
        """max_bytes: limit of one served file."""
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
        if not _VISITOR_ID.fullmatch(visitor):
            visitor = secrets.token_urlsafe(32)
            if _COOKIE_PATHS.fullmatch(path):
                send = _set_visitor_cookie(visitor, scope, send)
        scope = {**scope, VISITOR_KEY: visitor}
        if file := _FILE.fullmatch(path):
            await (await self._serve(scope["method"], file[1], visitor))(scope, receive, send)
            return
        if _UPLOAD.fullmatch(path):
            send = self._sign_uploads(visitor, send)
        await self.app(scope, receive, send)

    async def _serve(self, method: str, name: str, visitor: str) -> Response:
        """The file as a response; 403 for a missing file, just as for one of another visitor."""
        if method not in {"GET", "HEAD"}:
            return PlainTextResponse("Method not allowed", 405, {"Allow": "GET, HEAD"})
        try:
            path = self.names.resolve(name, visitor)
            data = await run_in_threadpool(read_file, path, self.max_bytes, open_without_links)
        except BogvError:
            return PlainTextResponse("File not allowed", 403)
        media_type = _INLINE_TYPES.get(path.suffix.lower())
        headers = {"Cache-Control": "private, max-age=3600", "Content-Length": str(len(data))}
        if media_type is None:
            headers["Content-Disposition"] = "attachment"
        body = data if method == "GET" else b""
        return Response(body, 200, headers, media_type or "application/octet-stream")

    def _sign_uploads(self, visitor: str, send: Send) -> Send:
        """Wrap `send` to replace the paths in the response to an upload, a JSON list, by names."""
        start: Message | None = None
        paths = bytearray()

        async def send_signed_names(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message  # sent with the body, whose length changes
                return
            if start is not None and message["type"] == "http.response.body":
                paths.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                names = [self.names.sign(Path(each), visitor) for each in json.loads(paths)]
                message = {"type": "http.response.body", "body": json.dumps(names).encode()}
                MutableHeaders(scope=start)["Content-Length"] = str(len(message["body"]))
                await send(start)
            await send(message)

        return send_signed_names


def _set_visitor_cookie(visitor: str, scope: Scope, send: Send) -> Send:
    path = scope.get("root_path") or "/"
    cookie = f"{COOKIE}={visitor}; HttpOnly; SameSite=Lax; Path={path}"

    async def send_with_cookie(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Set-Cookie", cookie)
        await send(message)

    return send_with_cookie


class VisitorBlocks(gr.Blocks):
    """Blocks whose events exchange files by signed names and log with their request's id."""

    names: SignedFileNames

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Gradio calls this for each event, of any route, before it processes the inputs.

        The request that queued the event has ended by then, so its id is set for the log again.
        Raises gr.Error for a file that is not the visitor's.
        """
        request = kwargs.get("request")
        request = request if isinstance(request, gr.Request) else None
        visitor = request.request.scope[VISITOR_KEY] if request and request.request else ""
        request_id = request.headers.get(HEADER.lower()) if request else None
        event = kwargs.get("event_data")  # for a clicked picture, it contains the file
        try:
            kwargs["inputs"] = await run_in_threadpool(
                self.names.replace_names, kwargs["inputs"], visitor
            )
            if event is not None:
                event._data = await run_in_threadpool(
                    self.names.replace_names, event._data, visitor
                )
        except PathNotAllowed as error:
            text = translate(request_language(request) if request else "en", "not_uploaded")
            raise gr.Error(text, title="bogv", print_exception=False) from error
        with request_context(RequestInfo(request_id)) if request_id else nullcontext():
            output = await super().process_api(*args, **kwargs)
        root = kwargs.get("root_path") or ""
        return {**output, "data": self.names.replace_paths(output["data"], visitor, root)}
