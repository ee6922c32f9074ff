"""Four named endpoints, so that `gradio_client` can drive the demo; REST can do more."""

from __future__ import annotations

import re
from dataclasses import asdict
from functools import wraps
from html import escape
from inspect import signature
from typing import Any, get_type_hints

import gradio as gr
from gradio.events import api
from pydantic import ConfigDict, TypeAdapter, ValidationError

from bogv.errors import BogvError, InvalidValue
from bogv.records import Cursor
from bogv.service import ImageSearch
from bogv.sources.paths import open_without_links, read_file
from bogv.ui.components import uploaded_file

_CURSOR = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


def add_endpoints(service: ImageSearch) -> None:
    """`/search`, `/add`, `/delete` and `/page`, inside the Blocks that is being built."""
    limit_bytes = service.decoder.max_bytes

    def search(image: gr.FileData, limit: int = 10, min_score: float = 0.0) -> list[dict[str, Any]]:
        """The most similar images, best first: the record of each, and its score."""
        path, _ = uploaded_file(dict(image))
        result = service.search(read_file(path, limit_bytes, open_without_links), limit, min_score)
        return [{**asdict(hit.record), "score": hit.score} for hit in result.hits]

    def add(image: gr.FileData, key: str = "", filepath: str = "") -> dict[str, Any]:
        """Add an image: what became of it, its id and its key."""
        path, name = uploaded_file(dict(image))
        data = read_file(path, limit_bytes, open_without_links)
        verdict = service.add(data, key or None, filepath, name)
        return {"status": verdict.status, "id": verdict.id, "key": verdict.key}

    def delete(ids: list[int] | None = None, keys: list[str] | None = None) -> int:
        """Delete images by id and by key: how many there were."""
        return service.delete_ids(ids or []) + service.delete_keys(keys or [])

    def page(size: int = 24, text: str = "", after: str = "") -> dict[str, Any]:
        """Records, newest first, with `text` in their key or file name; `next` is the `after` of
        the next page, empty on the last."""
        found = service.page(_cursor(after), size, text)
        onwards = f"{found.next.added_at}-{found.next.id}" if found.next else ""
        return {"records": [asdict(record) for record in found.records], "next": onwards}

    for name, endpoint in (("search", search), ("add", add), ("delete", delete), ("page", page)):
        api(_checked(endpoint), api_name=name)


def _cursor(text: str) -> Cursor | None:
    if not text:
        return None
    if not _CURSOR.fullmatch(text):
        raise InvalidValue("`after` is what an earlier page gave as `next`.")
    added_at, record_id = map(int, text.split("-"))
    return Cursor(added_at, record_id)


def _checked(endpoint: Any) -> Any:
    """With what was sent checked against the types, which gradio doesn't do, and bogv's errors as
    gradio's, which reach the client with their message."""
    strict = ConfigDict(strict=True, allow_inf_nan=False)  # no text for a number, no 1.5 or true
    checks = {
        name: TypeAdapter(dict[str, Any] if hint is gr.FileData else hint, config=strict)
        for name, hint in get_type_hints(endpoint).items()
        if name != "return"
    }
    names = list(signature(endpoint).parameters)

    @wraps(endpoint)
    def run(*args: Any) -> Any:
        try:
            given = dict(zip(names, args, strict=False))
            for name, check in checks.items():
                if name in given:
                    _check(name, check, given[name])
            return endpoint(*args)
        except BogvError as error:
            message = f"{error.type}: {escape(str(error))}"
            raise gr.Error(message, print_exception=False) from error

    return run


def _check(name: str, check: TypeAdapter[Any], value: Any) -> None:
    try:
        check.validate_python(value)
    except ValidationError as error:
        raise InvalidValue(f"{name}: {error.errors()[0]['msg']}.") from error
