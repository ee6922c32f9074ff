"""The Delete tab: takes ids or keys, shows a preview, asks for confirmation, then deletes."""

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
    TabContext,
    Updates,
    build_gallery_items,
    build_picture_grid,
    label,
    render_note,
    report_errors,
    request_language,
)
from bogv.ui.strings import Language, translate, translate_count

MAX_PICTURES = 60
MAX_NAMES = 10
"""Of the names that weren't found or are invalid, so many are listed."""

_NAME = re.compile(r'[^\S\r\n]*(?:"((?:[^"]|""){1,512})"[^\S\r\n]*(?=[,\r\n]|\Z)|([^,\r\n]+))')


def split_names(text: str) -> list[str]:
    """Split a list of ids or keys at commas and line breaks; duplicates are dropped.

    Quoting is that of CSV: a name in double quotes may contain commas, line breaks and outer
    spaces, and a double quote is written twice.
    """
    names = []
    for quoted, plain in _NAME.findall(text):
        names.append(quoted.replace('""', '"') if quoted else plain.strip())
    return [name for name in dict.fromkeys(names) if name]


def parse_ids(names: Sequence[str]) -> list[int]:
    """Names as ids, without numbers that no id can have. Raises InvalidValue, listing names that
    are no whole numbers."""
    invalid = [name for name in names if not re.fullmatch("[0-9]{1,16}", name)]
    if invalid:
        raise InvalidValue(", ".join(invalid[:MAX_NAMES]))
    return [int(name) for name in names if 0 < int(name) < 2**ID_BITS]


class DeleteTab:
    """Inputs on the left, a preview of the images to delete on the right."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.ids = gr.State([])  # list[int]: exactly the previewed images are deleted
        self.previewed = gr.State(None)  # tuple[str, str] | None: the names and their kind
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._build_inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.status = gr.HTML(elem_id="delete-status", padding=False)
                self._build_confirmation()
                self.gallery = build_picture_grid("images_to_delete", "delete-preview", columns=6)
        self.outputs = [
            self.ids,
            self.status,
            self.gallery,
            self.delete_button,
            self.confirmation,
        ]
        self._connect_events()

    def _build_inputs(self) -> None:
        self.text = gr.Textbox(
            label=label("delete_names"), lines=5, max_lines=12, elem_id="delete-names"
        )
        self.name_kind = gr.Radio(
            [(label("ids"), "ids"), (label("keys"), "keys")],
            value="ids",
            label=label("name_kind"),
            elem_id="delete-by",
        )
        self.preview_button = gr.Button(label("preview"), variant="primary", elem_id="delete-show")
        self.select_button = gr.Button(
            label("select_in_gallery"), variant="secondary", elem_id="delete-pick"
        )

    def _build_confirmation(self) -> None:
        self.delete_button = gr.Button("", variant="stop", visible=False, elem_id="delete-button")
        with gr.Column(visible=False, elem_classes="bogv-confirm") as self.confirmation:
            gr.Markdown(label("confirm"))
            with gr.Row():
                self.confirm_button = gr.Button(
                    label("confirm_yes"), variant="stop", elem_id="delete-yes"
                )
                self.cancel_button = gr.Button(label("cancel"), elem_id="delete-no")

    def _connect_events(self) -> None:
        inputs = [self.text, self.name_kind]
        self.preview_button.click(self.preview, inputs, [self.previewed, *self.outputs], **PRIVATE)
        for changed in (self.text.input, self.name_kind.input):
            changed(
                self.discard_preview,
                [*inputs, self.previewed],
                self.outputs,
                show_progress="hidden",
                **PRIVATE,
            )
        self.delete_button.click(
            lambda: gr.Column(visible=True), None, self.confirmation, **PRIVATE
        )
        self.cancel_button.click(
            lambda: gr.Column(visible=False), None, self.confirmation, **PRIVATE
        )
        outputs = [self.text, self.context.gallery_changed, *self.outputs]
        self.confirm_button.click(self.delete_previewed, self.ids, outputs, **PRIVATE)

    @report_errors
    def show_start(self, request: gr.Request) -> Updates:
        """Clear the preview and show the instructions."""
        language = request_language(request)
        return self._show([], render_note(translate(language, "delete_start")), language)

    def discard_preview(
        self, text: str, name_kind: str, previewed: tuple[str, str] | None, request: gr.Request
    ) -> Updates:
        """Clear the preview when the input changes.

        Not if it is of this input: its request may have overtaken the one of the last keystroke.
        """
        is_current = previewed == (text, name_kind)
        return {self.status: gr.skip()} if is_current else self.show_start(request)

    @report_errors
    def preview(self, text: str, name_kind: str, request: gr.Request) -> Updates:
        """Show the named images, and list the names that weren't found."""
        updates = self._preview(text, name_kind, request_language(request))
        return {self.previewed: (text, name_kind), **updates}

    def _preview(self, text: str, name_kind: str, language: Language) -> Updates:
        names = split_names(text)
        if not names:
            return self._show([], render_note(translate(language, "no_names"), "bad"), language)
        if name_kind == "keys":
            records = self.context.search.get_by_keys(names)
            found = {record.key for record in records}
        else:
            try:
                records = self.context.search.get(parse_ids(names))
            except InvalidValue as error:
                message = escape(translate(language, "invalid_ids", names=error))
                return self._show([], render_note(message, "bad"), language)
            found = {str(record.id) for record in records}
        missing = [
            name for name in names if (name if name_kind == "keys" else str(int(name))) not in found
        ]
        return self.show_preview(records, missing, language)

    def show_preview(
        self, records: list[Record], missing: list[str], language: Language
    ) -> Updates:
        """Show the images to delete; missing: names that weren't found."""
        summary = f"<b>{translate_count(language, 'will_delete', len(records))}</b>"
        if len(records) > MAX_PICTURES:
            summary += f" {translate(language, 'images_shown', shown=MAX_PICTURES)}"
        status = render_note(summary)
        if missing:
            names = ", ".join(missing[:MAX_NAMES])
            if len(missing) > MAX_NAMES:
                names += f" … {translate(language, 'and_more', count=len(missing) - MAX_NAMES)}"
            status += render_note(escape(translate(language, "missing", names=names)), "bad")
        return self._show(records, status, language)

    @report_errors
    def delete_previewed(self, ids: list[int], request: gr.Request) -> Updates:
        """Delete the previewed images and show how many were deleted."""
        language = request_language(request)
        deleted = self.context.search.delete_ids(ids)
        status = render_note(translate_count(language, "deleted", deleted), "good")
        return {
            self.text: "",
            self.context.gallery_changed: time.time_ns(),
            **self._show([], status, language),
        }

    def _show(self, records: list[Record], status: str, language: Language) -> Updates:
        """status: HTML."""
        shown = records[:MAX_PICTURES]
        items = build_gallery_items(self.context.search, shown, [record.key for record in shown])
        button_text = translate_count(language, "delete_count", len(records))
        return {
            self.ids: [record.id for record in records],
            self.status: status,
            self.gallery: gr.Gallery(value=items, visible=bool(items), selected_index=None),
            self.delete_button: gr.Button(button_text, visible=bool(records)),
            self.confirmation: gr.Column(visible=False),
        }
