"""Four named endpoints, so that `gradio_client` can drive the demo; REST can do more."""

from __future__ import annotations

from dataclasses import asdict
from functools import wraps
from html import escape
from typing import Any

import gradio as gr
from gradio.events import api

from bogv.errors import BogvError, InvalidValue
from bogv.records import Cursor
from bogv.service import ImageSearch
from bogv.sources import read_file, without_links
from bogv.ui.parts import uploaded


def add_endpoints(service: ImageSearch) -> None:
    """`/search`, `/add`, `/delete` and `/page`, inside the Blocks that is being built."""
    limit_bytes = service.decoder.max_bytes

    def search(image: gr.FileData, limit: int = 10, min_score: float = 0.0) -> list[dict[str, Any]]:
        """The most similar images, best first: the record of each, and its score."""
        path, _ = uploaded(dict(image))
        result = service.search(read_file(path, limit_bytes, without_links), limit, min_score)
        return [{**asdict(hit.record), "score": hit.score} for hit in result.hits]

    def add(image: gr.FileData, key: str = "", filepath: str = "") -> dict[str, Any]:
        """Add an image: what became of it, its id and its key."""
        path, name = uploaded(dict(image))
        data = read_file(path, limit_bytes, without_links)
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
        api(_told(endpoint), api_name=name)


def _cursor(text: str) -> Cursor | None:
    if not text:
        return None
    added_at, _, record_id = text.partition("-")
    if not (added_at.isdecimal() and record_id.isdecimal()):
        raise InvalidValue("`after` is what an earlier page gave as `next`.")
    return Cursor(int(added_at), int(record_id))


def _told(endpoint: Any) -> Any:
    """bogv's errors as gradio's, which reach the client with their message."""

    @wraps(endpoint)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return endpoint(*args, **kwargs)
        except BogvError as error:
            message = f"{error.type}: {escape(str(error))}"
            raise gr.Error(message, print_exception=False) from error

    return run
