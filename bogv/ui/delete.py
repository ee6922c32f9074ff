"""The Delete tab: ids or keys in, a preview, a question, the true count."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from html import escape

import gradio as gr

from bogv.errors import InvalidValue
from bogv.records import ID_BITS, Record
from bogv.ui.components import (
    PRIVATE,
    Shared,
    Updates,
    gallery_items,
    label,
    note,
    picture_grid,
    report_errors,
    request_language,
)
from bogv.ui.strings import Language, translate, translate_count

SHOWN = 60
NAMED = 10
"""How many of the names that weren't found are told."""


_NAME = re.compile(r'[^\S\r\n]*(?:"((?:[^"]|""){1,512})"[^\S\r\n]*(?=[,\r\n]|\Z)|([^,\r\n]+))')


def names_in(text: str) -> list[str]:
    """Ids or keys, separated by commas or line breaks; each once, in their order.

    In double quotes, as in CSV, a name may hold a comma, a line break, spaces around it, and a
    double quote, which is written twice.
    """
    names = []
    for quoted, plain in _NAME.findall(text):
        names.append(quoted.replace('""', '"') if quoted else plain.strip())
    return [name for name in dict.fromkeys(names) if name]


def ids_in(names: Sequence[str]) -> list[int]:
    """Names as ids. Raises InvalidValue, which lists those that are none."""
    bad = [name for name in names if not re.fullmatch("[0-9]{1,16}", name)]
    if bad:
        raise InvalidValue(", ".join(bad[:NAMED]))
    return [int(name) for name in names if 0 < int(name) < 2**ID_BITS]


class DeleteTab:
    """What is to go on the left, its pictures on the right."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.ids = gr.State([])  # list[int]: what was previewed, and nothing else, is deleted
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.status = gr.HTML(elem_id="delete-status", padding=False)
                self._question()
                self.gallery = picture_grid("will_go", "delete-preview", columns=6)
        self.outputs = [self.ids, self.status, self.gallery, self.delete, self.question]
        self._listen()

    def _inputs(self) -> None:
        self.text = gr.Textbox(label=label("what"), lines=5, max_lines=12, elem_id="delete-names")
        self.by = gr.Radio(
            [(label("ids"), "ids"), (label("keys"), "keys")],
            value="ids",
            label=label("by"),
            elem_id="delete-by",
        )
        self.preview_button = gr.Button(label("preview"), variant="primary", elem_id="delete-show")
        self.pick = gr.Button(label("pick"), variant="secondary", elem_id="delete-pick")

    def _question(self) -> None:
        self.delete = gr.Button("", variant="stop", visible=False, elem_id="delete-button")
        with gr.Column(visible=False, elem_classes="bogv-confirm") as self.question:
            gr.Markdown(label("sure"))
            with gr.Row():
                self.yes = gr.Button(label("yes"), variant="stop", elem_id="delete-yes")
                self.no = gr.Button(label("cancel"), elem_id="delete-no")

    def _listen(self) -> None:
        named = [self.text, self.by]
        self.preview_button.click(self.preview, named, self.outputs, **PRIVATE)
        for changed in (self.text.input, self.by.input):
            changed(self.open, None, self.outputs, show_progress="hidden", **PRIVATE)
        self.delete.click(lambda: gr.Column(visible=True), None, self.question, **PRIVATE)
        self.no.click(lambda: gr.Column(visible=False), None, self.question, **PRIVATE)
        gone = [self.text, self.shared.changed, *self.outputs]
        self.yes.click(self.delete_previewed, self.ids, gone, **PRIVATE)

    @report_errors
    def open(self, request: gr.Request) -> Updates:
        """When the page is loaded, or the names were changed: nothing is to go yet."""
        return self._show(
            [],
            note(translate(request_language(request), "delete_start")),
            request_language(request),
        )

    @report_errors
    def preview(self, text: str, by: str, request: gr.Request) -> Updates:
        """Show what is named; say what isn't there."""
        language, names = request_language(request), names_in(text)
        if not names:
            return self._show([], note(translate(language, "nothing_named"), "bad"), language)
        if by == "keys":
            records = self.shared.search.get_by_keys(names)
            there = {record.key for record in records}
        else:
            try:
                records = self.shared.search.get(ids_in(names))
            except InvalidValue as error:
                bad = escape(translate(language, "not_ids", bad=error))
                return self._show([], note(bad, "bad"), language)
            there = {str(record.id) for record in records}
        missing = [
            name for name in names if (name if by == "keys" else str(int(name))) not in there
        ]
        return self.show_preview(records, missing, language)

    def show_preview(
        self, records: list[Record], missing: list[str], language: Language
    ) -> Updates:
        """The pictures of what will go, and what was named in vain."""
        words = f"<b>{translate_count(language, 'goes', len(records))}</b>"
        if len(records) > SHOWN:
            words += f" {translate(language, 'pictures_cut', shown=SHOWN)}"
        told = note(words)
        if missing:
            names = ", ".join(missing[:NAMED])
            if len(missing) > NAMED:
                names += f" … {translate(language, 'and_more', count=len(missing) - NAMED)}"
            told += note(escape(translate(language, "missing", names=names)), "bad")
        return self._show(records, told, language)

    @report_errors
    def delete_previewed(self, ids: list[int], request: gr.Request) -> Updates:
        """Delete what was previewed; tell how many there were."""
        language = request_language(request)
        told = note(
            translate_count(language, "deleted", self.shared.search.delete_ids(ids)), "good"
        )
        return {
            self.text: "",
            self.shared.changed: time.time_ns(),
            **self._show([], told, language),
        }

    def _show(self, records: list[Record], status: str, language: Language) -> Updates:
        first = records[:SHOWN]
        items = gallery_items(self.shared.search, first, [record.key for record in first])
        count = translate_count(language, "delete_count", len(records))
        return {
            self.ids: [record.id for record in records],
            self.status: status,
            self.gallery: gr.Gallery(value=items, visible=bool(items), selected_index=None),
            self.delete: gr.Button(count, visible=bool(records)),
            self.question: gr.Column(visible=False),
        }
