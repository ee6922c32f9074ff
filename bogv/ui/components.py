"""What the tabs share: errors in plain words, uploads, thumbnails, notes, the record's card."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, wraps
from html import escape
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from bogv.errors import BogvError, PathNotAllowed
from bogv.files import atomic_write
from bogv.records import Record
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.strings import Language, error_text, labels, language_of, translate

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

Updates = dict[Any, Any]
"""New values of components, by component."""

i18n = gr.I18n(**labels())

# The screens' own events are no API: REST is, and the four endpoints of endpoints.py.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def label(word: str) -> Any:
    """A label that the browser translates."""
    return i18n(f"bogv_{word}")


@dataclass(frozen=True)
class Shared:
    """What every tab is given."""

    search: ImageSearch
    sources: Sources
    samples_dir: Path
    tabs: gr.Tabs
    changed: gr.State
    """Counts up when images were added or deleted: the header listens."""


def request_language(request: gr.Request) -> Language:
    """The language of the page that asks."""
    return language_of(request.headers.get("accept-language", ""))


# Errors


def report_errors(handler: Callable[P, R]) -> Callable[P, R]:
    """A handler whose errors reach the user as one sentence; the unexpected ones are logged."""

    @wraps(handler)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
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

    return run


def explain(error: BogvError, language: Language) -> str:
    """An error as HTML: plain words, and its own message in small."""
    words, detail = error_text(language, error.type), escape(str(error))
    return f"{escape(words)} <small>{detail}</small>" if words else detail


def note(text: str, kind: Literal["hint", "good", "bad"] = "hint") -> str:
    """A sentence in a box. `text` is HTML: what users wrote in it is escaped by the caller."""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="bogv-note bogv-{kind}" role="{role}">{text}</div>'


# Files


def cache_file(data: bytes, name: str) -> str:
    """A file of gradio's cache with these bytes: what gradio serves to those logged in, deletes
    when it is old, and takes from the browser."""
    path = Path(get_upload_folder(), hashlib.sha256(data).hexdigest(), name)
    if path.exists():
        os.utime(path)  # its age is counted anew
        return str(path)
    with atomic_write(path) as partial:  # a request in another thread may read it
        partial.touch(0o600)
        partial.write_bytes(data)
    return str(path)


def uploaded_file(file: dict[str, Any]) -> tuple[Path, str]:
    """Where a file that the browser uploaded lies, as it was sent, and the name that it had.

    The events that take files say `preprocess=False`: gradio would open an image, turn it and
    write it anew, and fail on those that are none. Raises PathNotAllowed for any other file.
    """
    path = Path(str(file.get("path"))).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise PathNotAllowed("The file was not uploaded.")
    return path, str(file.get("orig_name") or path.name)


def thumbnail(search: ImageSearch, record_id: int) -> bytes:
    """The thumbnail of an image; a grey square where it is lost."""
    return search.thumbnails.read(record_id) or _lost()


@cache
def _lost() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (96, 96), "#9ca3af").save(out, "WEBP")
    return out.getvalue()


def gallery_items(
    search: ImageSearch, records: Iterable[Record], captions: Iterable[str]
) -> list[tuple[str, str]]:
    """Records as a gr.Gallery takes them. It shows captions as text, not as HTML."""
    return [
        (cache_file(thumbnail(search, record.id), f"{record.id}.webp"), caption)
        for record, caption in zip(records, captions, strict=True)
    ]


def picture_grid(word: str, elem_id: str, columns: int, small: bool = False) -> gr.Gallery:
    """Pictures to choose from: large ones whole, small ones filled, with their label."""
    return gr.Gallery(
        label=label(word),
        show_label=small,
        elem_id=elem_id,
        elem_classes="bogv-gallery bogv-small" if small else "bogv-gallery",
        columns=columns,
        object_fit="cover" if small else "contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
    )


def data_url(webp: bytes) -> str:
    """A picture inside the page itself."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"


def clicked_id(event: gr.SelectData, ids: Sequence[int]) -> int | None:
    """The id of the picture that was clicked; None where the page is older than its list."""
    index = event.index
    return ids[index] if isinstance(index, int) and 0 <= index < len(ids) else None


# The record


def format_size(size: int) -> str:
    """Bytes as people read them: 512 B, 34.5 kB, 1.2 MB."""
    if size < 1000:
        return f"{size} B"
    return f"{size / 1000:.1f} kB" if size < 1_000_000 else f"{size / 1_000_000:.1f} MB"


def card(record: Record, picture: bytes, score: float | None, language: Language) -> str:
    """The larger picture and everything that is known of it, as HTML."""
    added = datetime.fromtimestamp(record.added_at / 1000).astimezone()
    size = format_size(record.size)
    rows = {
        "score": None if score is None else f"{score:.3f}",
        "key": record.key,
        "filepath": record.filepath or "–",
        "size": translate(language, "pixels", width=record.width, height=record.height, size=size),
        "added": added.strftime("%Y-%m-%d %H:%M:%S %Z"),
        "id": str(record.id),
    }
    cells = "".join(
        f'<dt>{escape(translate(language, word))}</dt><dd data-field="{word}">{escape(text)}</dd>'
        for word, text in rows.items()
        if text is not None
    )
    return (
        f'<img class="bogv-large" src="{data_url(picture)}" alt="{escape(record.key)}">'
        f'<dl class="bogv-record">{cells}</dl>'
    )


class RecordPanel:
    """The card of the image that was chosen, with two buttons and a question before deleting."""

    # On a phone the card stands above the pictures: bring it into sight.
    SCROLL = (
        "() => { const card = [...document.querySelectorAll('.bogv-panel')]"
        ".find((each) => each.offsetParent);"
        " if (card && matchMedia('(max-width: 760px)').matches)"
        " card.scrollIntoView({behavior: 'smooth'}); }"
    )

    def __init__(self, name: str, similar: str) -> None:
        self.id = gr.State(None)  # int | None
        column: dict[str, Any] = {"visible": False, "min_width": 260, "scale": 2}
        with gr.Column(elem_id=f"{name}-record", elem_classes="bogv-panel", **column) as self.box:
            self.card = gr.HTML(elem_id=f"{name}-card", padding=False)
            with gr.Row():
                self.similar = _button(similar, f"{name}-similar", "primary")
                self.delete = _button("delete", f"{name}-delete", "secondary")
                self.close = _button("close", f"{name}-close", "secondary")
            with gr.Column(visible=False, elem_classes="bogv-confirm") as self.question:
                gr.Markdown(label("sure_one"))
                with gr.Row():
                    self.yes = _button("yes_one", f"{name}-yes", "stop")
                    self.no = _button("cancel", f"{name}-no", "secondary")
        self.outputs = [self.id, self.box, self.card, self.question]
        self.delete.click(lambda: gr.Column(visible=True), None, self.question, **PRIVATE)
        self.no.click(lambda: gr.Column(visible=False), None, self.question, **PRIVATE)
        self.close.click(self.hide, None, self.outputs, **PRIVATE)

    def hide(self) -> Updates:
        """Nothing is chosen."""
        return {
            self.id: None,
            self.box: gr.Column(visible=False),
            self.question: gr.Column(visible=False),
        }

    def show(
        self, search: ImageSearch, record_id: int | None, score: float | None, language: Language
    ) -> Updates:
        """The card of a record; a sentence where it was deleted meanwhile."""
        records = search.get([record_id]) if record_id is not None else []
        if not records:
            gr.Warning(translate(language, "gone"), title="bogv")
            return self.hide()
        return {
            self.id: record_id,
            self.box: gr.Column(visible=True),
            self.card: card(records[0], thumbnail(search, records[0].id), score, language),
            self.question: gr.Column(visible=False),
        }


def _button(word: str, elem_id: str, variant: Literal["primary", "secondary", "stop"]) -> gr.Button:
    return gr.Button(label(word), elem_id=elem_id, variant=variant, size="sm", min_width=64)
