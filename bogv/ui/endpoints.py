"""Four named endpoints for `gradio_client`; the REST API can do more."""

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
from bogv.records import Cursor, Hit, SearchResult
from bogv.service import ImageSearch
from bogv.sources.paths import open_without_links, read_file
from bogv.ui.components import resolve_upload

_CURSOR = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")


def add_endpoints(service: ImageSearch) -> None:
    """Add the named endpoints to the Blocks whose context is open."""
    max_bytes = service.decoder.max_bytes

    def find(image: gr.FileData, *options: Any) -> SearchResult:
        path, _ = resolve_upload(dict(image))
        return service.search(read_file(path, max_bytes, open_without_links), *options)

    def search(
        image: gr.FileData, limit: int = 10, min_score: float = 0.0, max_rarity: float = 1.0
    ) -> list[dict[str, Any]]:
        """The most similar images, best first: the fields of each record, its score and match, and
        which share of the gallery's pairs are as alike (`rarity`); `max_rarity` 1 filters nothing.
        """
        rarest = None if max_rarity == 1 else max_rarity
        return [_hit_data(hit) for hit in find(image, limit, min_score, False, rarest).hits]

    def check(image: gr.FileData, limit: int = 10, verify: bool = True) -> dict[str, Any]:
        """Whether the gallery has the picture: the verdict, and hits as of `/search`. With
        `verify`, the first 12 are compared point by point, which also finds parts."""
        result = find(image, limit, 0.0, verify)
        hits = [_hit_data(hit) for hit in result.hits]
        return {"verdict": result.verdict_dict(), "hits": hits}

    def add(image: gr.FileData, key: str = "", filepath: str = "") -> dict[str, Any]:
        """Add an image: the status, its id and key, and which copy of it was there before."""
        path, name = resolve_upload(dict(image))
        data = read_file(path, max_bytes, open_without_links)
        added = service.add(data, key or None, filepath, name)
        duplicate = added.near_duplicate_of
        return {
            "status": added.status,
            "id": added.id,
            "key": added.key,
            "near_duplicate_of": None if duplicate is None else duplicate.as_dict(),
        }

    def delete(ids: list[int] | None = None, keys: list[str] | None = None) -> int:
        """Delete images by id and by key: the number of deleted images."""
        return service.delete_ids(ids or []) + service.delete_keys(keys or [])

    def page(size: int = 24, text: str = "", after: str = "") -> dict[str, Any]:
        """Records whose key or file name contains `text`, newest first. Pass `next` as `after` to
        get the next page; it is empty on the last page."""
        found = service.page(_parse_cursor(after), size, text)
        next_page = f"{found.next.added_at}-{found.next.id}" if found.next else ""
        return {"records": [asdict(record) for record in found.records], "next": next_page}

    for endpoint in (search, check, add, delete, page):
        api(_with_validation(endpoint), api_name=endpoint.__name__)


def _hit_data(hit: Hit) -> dict[str, Any]:
    return {**asdict(hit.record), "score": hit.score, "rarity": hit.rarity, **hit.match.as_dict()}


def _parse_cursor(text: str) -> Cursor | None:
    if not text:
        return None
    if not _CURSOR.fullmatch(text):
        raise InvalidValue("`after` must be the `next` of an earlier page.")
    added_at, record_id = map(int, text.split("-"))
    return Cursor(added_at, record_id)


def _with_validation(endpoint: Any) -> Any:
    """Wrap an endpoint: check arguments against its type hints, which gradio doesn't do, and turn
    BogvError into gr.Error, whose message reaches the client."""
    strict = ConfigDict(strict=True, allow_inf_nan=False)  # for an int: no "1", 1.5 or true
    validators = {
        name: TypeAdapter(dict[str, Any] if hint is gr.FileData else hint, config=strict)
        for name, hint in get_type_hints(endpoint).items()
        if name != "return"
    }
    names = list(signature(endpoint).parameters)

    @wraps(endpoint)
    def run_validated(*args: Any) -> Any:
        try:
            values = dict(zip(names, args, strict=False))
            for name, validator in validators.items():
                if name in values:
                    _validate(name, validator, values[name])
            return endpoint(*args)
        except BogvError as error:
            message = f"{error.type}: {escape(str(error))}"
            raise gr.Error(message, print_exception=False) from error

    return run_validated


def _validate(name: str, validator: TypeAdapter[Any], value: Any) -> None:
    try:
        validator.validate_python(value)
    except ValidationError as error:
        raise InvalidValue(f"{name}: {error.errors()[0]['msg']}.") from error
