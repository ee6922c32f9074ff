"""The Gallery tab: all images, newest first, in pages."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from html import escape

import gradio as gr

from bogv.records import Cursor, Record
from bogv.ui.components import (
    PRIVATE,
    SHOW_CARD,
    RecordPanel,
    TabContext,
    Updates,
    build_gallery_items,
    build_picture_grid,
    clicked_id,
    label,
    render_note,
    report_errors,
    request_language,
)
from bogv.ui.strings import Language, translate, translate_count

PAGE_SIZES = (12, 24, 48, 96)


@dataclass(frozen=True)
class Position:
    """Paging state of a visitor."""

    cursors: tuple[Cursor | None, ...] = (None,)
    """Start of each page up to this one; the first page starts at None."""
    ids: tuple[int, ...] = ()
    """Of the images on this page, in their order."""
    next: Cursor | None = None
    """Start of the next page; None on the last one."""


class GalleryTab:
    """Filter and page size at the top, pictures in the middle, the selected record on the right."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.position = gr.State(Position())
        self.selected_ids = gr.State([])  # list[int], across all pages
        self._build_controls()
        self.status = gr.HTML(elem_id="gallery-status", padding=False)
        self._build_selection()
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=6, min_width=320, elem_classes="bogv-results"):
                self.gallery = build_picture_grid("newest", "gallery", columns=6)
                with gr.Row(elem_classes="bogv-pages"):
                    self.newer_button = gr.Button(
                        label("previous"), elem_id="page-previous", size="sm"
                    )
                    self.older_button = gr.Button(label("next"), elem_id="page-next", size="sm")
            self.panel = RecordPanel("gallery", "find_similar")
        self.outputs = [
            self.position,
            self.status,
            self.gallery,
            self.newer_button,
            self.older_button,
        ]
        self._connect_events()

    def _build_controls(self) -> None:
        with gr.Row(elem_classes="bogv-controls"):
            self.text = gr.Textbox(
                label=label("filter"),
                placeholder=label("filter_placeholder"),
                max_lines=1,
                max_length=200,
                scale=3,
                min_width=180,
                elem_id="filter",
            )
            self.page_size = gr.Dropdown(
                list(PAGE_SIZES),
                value=24,
                label=label("page_size"),
                min_width=100,
                scale=1,
                elem_id="page-size",
            )
            self.select_multiple = gr.Checkbox(
                label=label("select_multiple"), min_width=120, scale=1, elem_id="several"
            )
            self.refresh_button = gr.Button(
                label("refresh"), elem_id="gallery-refresh", size="sm", min_width=80, scale=1
            )

    def _build_selection(self) -> None:
        with gr.Column(visible=False, elem_classes="bogv-selection") as self.selection:
            self.selected = build_picture_grid("selection", "selected", columns=10, small=True)
            with gr.Row():
                self.delete_button = gr.Button(
                    "", variant="stop", size="sm", min_width=120, elem_id="delete-selected"
                )
                self.clear_button = gr.Button(
                    label("clear_selection"), size="sm", min_width=120, elem_id="clear-selection"
                )

    def _connect_events(self) -> None:
        inputs = [self.text, self.page_size, self.selected_ids]
        page = [*self.outputs, *self.panel.outputs]
        for trigger in (self.text.submit, self.page_size.input):
            trigger(self.show_first_page, inputs, page, **PRIVATE)
        for button, turn in (
            (self.older_button, self.show_older_page),
            (self.newer_button, self.show_newer_page),
        ):
            button.click(turn, [self.position, *inputs], page, **PRIVATE).then(
                None, js="() => bogv.showTop()", **PRIVATE
            )
        selection = [
            self.selected_ids,
            self.position,
            self.selection,
            self.selected,
            self.delete_button,
            self.gallery,
        ]
        self.everything = list({*page, *selection})
        self.refresh_button.click(
            self.reload_page, [self.position, *inputs], self.everything, **PRIVATE
        )
        self.gallery.select(
            self.handle_click,
            [self.position, self.select_multiple, self.selected_ids],
            [*selection, *self.panel.outputs],
            show_progress="hidden",
            **PRIVATE,
        ).then(None, js=SHOW_CARD, **PRIVATE)
        self.selected.select(
            self.deselect,
            [self.position, self.selected_ids],
            selection,
            show_progress="hidden",
            **PRIVATE,
        )
        self.clear_button.click(self.deselect_all, self.position, selection, **PRIVATE)
        self.panel.confirm_button.click(
            self.delete_one,
            [self.panel.id, self.position, *inputs],
            [*self.everything, self.context.gallery_changed],
            **PRIVATE,
        )

    # Handlers: pages

    @report_errors
    def show_first_page(
        self, text: str, size: int, selected_ids: list[int], request: gr.Request
    ) -> Updates:
        """Show the newest images."""
        return self._load_page((None,), text, size, selected_ids, request_language(request))

    @report_errors
    def show_older_page(
        self, position: Position, text: str, size: int, selected_ids: list[int], request: gr.Request
    ) -> Updates:
        """Show the next page; the last page stays where it is."""
        next_page = (position.next,) if position.next else ()
        return self._load_page(
            (*position.cursors, *next_page), text, size, selected_ids, request_language(request)
        )

    @report_errors
    def show_newer_page(
        self, position: Position, text: str, size: int, selected_ids: list[int], request: gr.Request
    ) -> Updates:
        """Show the previous page; the first page stays where it is."""
        cursors = position.cursors[:-1] or (None,)
        return self._load_page(cursors, text, size, selected_ids, request_language(request))

    @report_errors
    def reload_page(
        self, position: Position, text: str, size: int, selected_ids: list[int], request: gr.Request
    ) -> Updates:
        """Load the current page again, and drop from the selection what was deleted elsewhere."""
        language = request_language(request)
        return self._reload(position, text, size, selected_ids, language)

    # Handlers: pictures

    @report_errors
    def handle_click(
        self,
        position: Position,
        select_multiple: bool,
        selected_ids: list[int],
        event: gr.SelectData,
        request: gr.Request,
    ) -> Updates:
        """Show the record of the clicked picture; with `select_multiple`, select or deselect it."""
        language, record_id = request_language(request), clicked_id(event, position.ids)
        if not select_multiple or record_id is None:
            return self.panel.show(self.context.search, record_id, None, language)
        return {
            **self._toggle(position, selected_ids, record_id, language),
            **self.panel.hide(),
        }

    @report_errors
    def deselect(
        self, position: Position, selected_ids: list[int], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Remove the clicked picture from the selection."""
        record_id = clicked_id(event, selected_ids)
        return self._toggle(position, selected_ids, record_id, request_language(request))

    @report_errors
    def deselect_all(self, position: Position, request: gr.Request) -> Updates:
        """Clear the selection."""
        return self._show_selection(position, [], request_language(request))

    @report_errors
    def delete_one(
        self,
        record_id: int | None,
        position: Position,
        text: str,
        size: int,
        selected_ids: list[int],
        request: gr.Request,
    ) -> Updates:
        """Delete the image of the panel and reload the page."""
        language = request_language(request)
        deleted = self.context.search.delete_ids([] if record_id is None else [record_id])
        remaining = [each for each in selected_ids if each != record_id]
        page = self._reload(position, text, size, remaining, language)
        message = render_note(translate_count(language, "deleted", deleted), "good")
        return {
            **page,
            self.status: message + page[self.status],
            self.context.gallery_changed: time.time_ns(),
        }

    # Shared by the handlers

    def _reload(
        self,
        position: Position,
        text: str,
        size: int,
        selected_ids: list[int],
        language: Language,
    ) -> Updates:
        page = self._load_page(position.cursors, text, size, selected_ids, language)
        return {**self._show_selection(page[self.position], selected_ids, language), **page}

    def _load_page(
        self,
        cursors: tuple[Cursor | None, ...],
        text: str,
        size: int,
        selected_ids: list[int],
        language: Language,
    ) -> Updates:
        text = text.strip()
        page = self.context.search.page(cursors[-1], int(size), text)
        if not page.records and len(cursors) > 1:  # all images of this page were deleted meanwhile
            return self._load_page(cursors[:-1], text, size, selected_ids, language)
        position = Position(cursors, tuple(record.id for record in page.records), page.next)
        items = self._build_items(page.records, selected_ids)
        return {
            self.position: position,
            self.status: self._render_status(len(page.records), len(cursors), text, language),
            self.gallery: gr.Gallery(value=items, selected_index=None),
            self.newer_button: gr.Button(interactive=len(cursors) > 1),
            self.older_button: gr.Button(interactive=page.next is not None),
            **self.panel.hide(),
        }

    def _render_status(self, shown: int, page: int, text: str, language: Language) -> str:
        """HTML. shown: number of images on the page. text: the filter."""
        total = self.context.search.stats().count
        images = translate_count(language, "images", total)
        if not total:
            return render_note(translate(language, "empty_gallery"))
        if not shown:
            return render_note(escape(translate(language, "no_filter_match", text=text)))
        key = "shown_filtered" if text else "shown"
        return render_note(
            escape(translate(language, key, page=page, shown=shown, total=images, text=text))
        )

    def _build_items(self, records: list[Record], selected_ids: list[int]) -> list[tuple[str, str]]:
        marks = ("✓ " if record.id in selected_ids else "" for record in records)
        captions = (mark + record.key for mark, record in zip(marks, records, strict=True))
        return build_gallery_items(self.context.search, records, captions)

    def _toggle(
        self, position: Position, selected_ids: list[int], record_id: int | None, language: Language
    ) -> Updates:
        if record_id in selected_ids:
            remaining = [each for each in selected_ids if each != record_id]
            return self._show_selection(position, remaining, language)
        added = [record_id] if record_id else []
        return self._show_selection(position, [*selected_ids, *added], language)

    def _show_selection(
        self, position: Position, selected_ids: list[int], language: Language
    ) -> Updates:
        search = self.context.search
        selected = search.get(selected_ids)
        on_page = search.get(list(position.ids))
        items = build_gallery_items(search, selected, [record.key for record in selected])
        button_text = translate(language, "delete_selected", count=len(selected))
        page_items = self._build_items(on_page, selected_ids)
        return {
            self.selected_ids: [record.id for record in selected],
            self.selection: gr.Column(visible=bool(selected)),
            self.selected: gr.Gallery(value=items, selected_index=None),
            self.delete_button: gr.Button(button_text),
            self.gallery: gr.Gallery(value=page_items, selected_index=None),
            self.position: replace(position, ids=tuple(record.id for record in on_page)),
        }
