"""Shared parts of the tabs: error messages, files, galleries, and the panel of a record."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache, wraps
from html import escape
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from bogv.calibration.background import Rarity
from bogv.errors import BogvError, PathNotAllowed
from bogv.files import atomic_write
from bogv.records import Record
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.answers import FIELDS, Field, format_score
from bogv.ui.calibration.words import format_rarity
from bogv.ui.strings import Language, error_text, labels, language_of, translate

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

Updates = dict[Any, Any]
"""What an event handler returns to gradio: new values, by component."""

i18n = gr.I18n(**labels())

# Events of the page are not part of the API, which is REST and the endpoints of endpoints.py.
EXAMPLE_SIZE = 128  # CSS pixels
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
SHOW_CARD = "() => bogv.showCard()"
"""See page.js."""


def label(key: str) -> Any:
    """A text of `strings.STRINGS` that the browser translates."""
    return i18n(f"bogv_{key}")


@dataclass(frozen=True)
class TabContext:
    """Services and components that all tabs use."""

    search: ImageSearch
    sources: Sources
    samples_dir: Path
    tabs: gr.Tabs
    gallery_changed: gr.State
    """Set to the time, in ns, when images are added or deleted; updates the header."""


def request_language(request: gr.Request) -> Language:
    """The language of the page that triggered an event."""
    return language_of(request.headers.get("accept-language", ""))


# Errors


def report_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """Decorator: show errors to the user as one sentence, and log unexpected ones."""

    @wraps(handler)
    def run_handler(*args: P.args, **kwargs: P.kwargs) -> R:
        requests = [each for each in args if isinstance(each, gr.Request)]
        language: Language = request_language(requests[0]) if requests else "en"
        try:
            return handler(*args, **kwargs)
        except gr.Error:
            raise
        except BogvError as error:
            raise gr.Error(explain(error, language), title="bogv", print_exception=False) from error
        except Exception as error:
            log.exception("The demo failed in %s", handler.__qualname__)
            unexpected = translate(language, "unexpected")
            raise gr.Error(unexpected, title="bogv", print_exception=False) from error

    return run_handler


def explain(error: BogvError, language: Language) -> str:
    """An error as HTML: a translated sentence, then its own message in small print."""
    text, detail = error_text(language, error.type), escape(str(error))
    return f"{escape(text)} <small>{detail}</small>" if text else detail


def render_note(text: str, kind: Literal["hint", "good", "bad"] = "hint") -> str:
    """A message box. `text` is HTML: the caller escapes what users wrote."""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="bogv-note bogv-{kind}" role="{role}">{text}</div>'


# Files


def cache_file(data: bytes, name: str) -> str:
    """Write bytes to gradio's cache, which it serves to visitors and clears by age; the path."""
    path = Path(get_upload_folder(), hashlib.sha256(data).hexdigest(), name)
    if path.exists():
        os.utime(path)  # gradio deletes by modification time
        return str(path)
    with atomic_write(path) as partial:  # another thread may read it at the same time
        partial.touch(0o600)
        partial.write_bytes(data)
    return str(path)


def resolve_upload(file: dict[str, Any]) -> tuple[Path, str]:
    """Path of an uploaded file, and the name that it had in the browser.

    Events with files set `preprocess=False`, else gradio decodes each image, rotates and re-encodes
    it, and fails on files that are no images. Raises PathNotAllowed for a file outside gradio's
    upload folder.
    """
    path = Path(str(file.get("path"))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise PathNotAllowed("The file was not uploaded.")
    return path, str(file.get("orig_name") or path.name)


def read_thumbnail(search: ImageSearch, record_id: int) -> bytes:
    """The thumbnail of an image as WebP; a grey square if its file is missing."""
    return search.thumbnails.read(record_id) or _encode_placeholder()


@cache
def _encode_placeholder() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), "#9ca3af").save(out, "WEBP")
    return out.getvalue()


def build_gallery_items(
    search: ImageSearch, records: Iterable[Record], captions: Iterable[str]
) -> list[tuple[str, str]]:
    """Paths of thumbnails with captions, for gr.Gallery, which renders captions as plain text."""
    return [
        (cache_file(read_thumbnail(search, record.id), f"{record.id}.webp"), caption)
        for record, caption in zip(records, captions, strict=True)
    ]


def build_picture_grid(key: str, elem_id: str, columns: int, small: bool = False) -> gr.Gallery:
    """A gallery of clickable pictures. Small ones are cropped to squares, under a visible label."""
    return gr.Gallery(
        label=label(key),
        show_label=small,
        elem_id=elem_id,
        elem_classes="bogv-gallery bogv-small" if small else "bogv-gallery",
        columns=columns,
        object_fit="cover" if small else "contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
    )


def build_slider(field: Field, elem_id: str, visible: bool = True) -> gr.Slider:
    """A slider with a field for its number."""
    return gr.Slider(
        field.lowest,
        field.highest,
        field.default,
        step=10**-field.digits,
        label=label(field.name),
        elem_id=elem_id,
        buttons=[],
        visible=visible,
    )


def correct_numbers(
    sliders: Sequence[gr.Slider], values: Sequence[object], language: Language
) -> Updates:
    """Replace the values of the Search tab's sliders that are not in their range, and say so."""
    updates: Updates = {}
    for slider, field, value in zip(sliders, FIELDS, values, strict=True):
        if sentence := field.explain(value, language):
            gr.Warning(sentence, title="bogv")
        if (used := field.read(value)) != value:
            updates[slider] = used
    return updates


def data_url(webp: bytes) -> str:
    """A WebP as a data URL."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def clicked_id(event: gr.SelectData, ids: Sequence[int]) -> int | None:
    """The id of the clicked picture; None if the page shows more pictures than `ids` holds."""
    index = event.index
    return ids[index] if isinstance(index, int) and 0 <= index < len(ids) else None


# Record


def format_size(size: int) -> str:
    """Bytes with a decimal unit: 512 B, 34.5 kB, 1.2 MB."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def render_card(
    record: Record,
    picture: bytes,
    score: float | None,
    language: Language,
    rarity: Rarity | None = None,
) -> str:
    """A record as HTML: its thumbnail (WebP) and all its fields."""
    added = datetime.fromtimestamp(record.added_at / 1000).astimezone()
    size = format_size(record.size)
    rows = {
        "score": None if score is None else format_score(score),
        "rarity": None if rarity is None else format_rarity(rarity, language),
        "key": record.key,
        "filepath": record.filepath or "–",
        "size": translate(language, "pixels", width=record.width, height=record.height, size=size),
        "added": added.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "id": str(record.id),
    }
    cells = "".join(
        f'<dt>{escape(translate(language, key))}</dt><dd data-field="{key}">{escape(text)}</dd>'
        for key, text in rows.items()
        if text is not None
    )
    return (
        f'<img class="bogv-large" src="{data_url(picture)}" alt="{escape(record.key)}">'
        f'<dl class="bogv-record">{cells}</dl>'
    )


class RecordPanel:
    """Side panel with the selected image: its card, buttons, and a confirmation of its deletion."""

    def __init__(self, name: str, similar_key: str) -> None:
        """name: prefix of the element ids. similar_key: text of the button that searches."""
        self.id = gr.State(None)  # int | None
        column: dict[str, Any] = {"visible": False, "min_width": 260, "scale": 2}
        with gr.Column(elem_id=f"{name}-record", elem_classes="bogv-panel", **column) as self.panel:
            self.card = gr.HTML(elem_id=f"{name}-card", padding=False)
            with gr.Row():
                self.similar_button = _build_button(similar_key, f"{name}-similar", "primary")
                self.delete_button = _build_button("delete", f"{name}-delete", "secondary")
                self.close_button = _build_button("close", f"{name}-close", "secondary")
            with gr.Column(visible=False, elem_classes="bogv-confirm") as self.confirmation:
                gr.Markdown(label("confirm_one"))
                with gr.Row():
                    self.confirm_button = _build_button("confirm_one_yes", f"{name}-yes", "stop")
                    self.cancel_button = _build_button("cancel", f"{name}-no", "secondary")
        self.outputs = [self.id, self.panel, self.card, self.confirmation]
        self.delete_button.click(
            lambda: gr.Column(visible=True), None, self.confirmation, **PRIVATE
        )
        self.cancel_button.click(
            lambda: gr.Column(visible=False), None, self.confirmation, **PRIVATE
        )
        self.close_button.click(self.hide, None, self.outputs, **PRIVATE)

    def hide(self) -> Updates:
        """Hide the panel."""
        return {
            self.id: None,
            self.panel: gr.Column(visible=False),
            self.confirmation: gr.Column(visible=False),
        }

    def show(
        self, search: ImageSearch, record_id: int | None, score: float | None, language: Language
    ) -> Updates:
        """Show a record's card; a warning instead if the record was deleted meanwhile."""
        records = search.get([record_id]) if record_id is not None else []
        if not records:
            gr.Warning(translate(language, "record_gone"), title="bogv")
            return self.hide()
        picture = read_thumbnail(search, records[0].id)
        rarity = None if score is None else search.rarity.of(score)
        return {
            self.id: record_id,
            self.panel: gr.Column(visible=True),
            self.card: render_card(records[0], picture, score, language, rarity),
            self.confirmation: gr.Column(visible=False),
        }


def _build_button(
    key: str, elem_id: str, variant: Literal["primary", "secondary", "stop"]
) -> gr.Button:
    return gr.Button(label(key), elem_id=elem_id, variant=variant, size="sm", min_width=64)


@lru_cache(maxsize=16)
def encode_example(path: Path) -> bytes:
    """A sample image as WebP: at most 2 × EXAMPLE_SIZE pixels a side, for high-density screens."""
    out = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((EXAMPLE_SIZE * 2, EXAMPLE_SIZE * 2))
        image.save(out, "WEBP", quality=80)
    return out.getvalue()
