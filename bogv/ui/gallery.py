"""The Gallery tab: everything there is, newest first, page by page."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from html import escape

import gradio as gr

from bogv.records import Cursor, Record
from bogv.ui.components import (
    PRIVATE,
    RecordPanel,
    Shared,
    Updates,
    clicked_id,
    gallery_items,
    label,
    note,
    picture_grid,
    report_errors,
    request_language,
)
from bogv.ui.strings import Language, translate, translate_count

PAGE_SIZES = (12, 24, 48, 96)


@dataclass(frozen=True)
class Position:
    """Where the user is: the way to this page, what is on it, and where the next one begins."""

    cursors: tuple[Cursor | None, ...] = (None,)
    """Where each page up to this one begins, the first at None."""
    ids: tuple[int, ...] = ()
    next: Cursor | None = None


class GalleryTab:
    """Filter and pages above, pictures in the middle, the chosen one's record on the right."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.position = gr.State(Position())
        self.picked = gr.State([])  # list[int]: selected, on whatever page
        self._controls()
        self.status = gr.HTML(elem_id="gallery-status", padding=False)
        self._selection()
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=6, min_width=320, elem_classes="bogv-results"):
                self.gallery = picture_grid("newest", "gallery", columns=6)
                with gr.Row(elem_classes="bogv-pages"):
                    self.previous = gr.Button(label("previous"), elem_id="page-previous", size="sm")
                    self.next = gr.Button(label("next"), elem_id="page-next", size="sm")
            self.panel = RecordPanel("gallery", "find_similar")
        self.outputs = [self.position, self.status, self.gallery, self.previous, self.next]
        self._listen()

    def _controls(self) -> None:
        with gr.Row(elem_classes="bogv-controls"):
            self.text = gr.Textbox(
                label=label("filter"),
                placeholder=label("filter_holder"),
                max_lines=1,
                max_length=200,
                scale=3,
                min_width=180,
                elem_id="filter",
            )
            self.size = gr.Dropdown(
                list(PAGE_SIZES),
                value=24,
                label=label("page_size"),
                min_width=100,
                scale=1,
                elem_id="page-size",
            )
            self.several = gr.Checkbox(
                label=label("several"), min_width=120, scale=1, elem_id="several"
            )
            self.refresh = gr.Button(
                label("refresh"), elem_id="gallery-refresh", size="sm", min_width=80, scale=1
            )

    def _selection(self) -> None:
        with gr.Column(visible=False, elem_classes="bogv-selection") as self.selection:
            self.selected = picture_grid("selection", "selected", columns=10, small=True)
            with gr.Row():
                self.delete = gr.Button(
                    "", variant="stop", size="sm", min_width=120, elem_id="delete-selected"
                )
                self.clear = gr.Button(
                    label("clear"), size="sm", min_width=120, elem_id="clear-selection"
                )

    def _listen(self) -> None:
        asked = [self.text, self.size, self.picked]
        for trigger in (self.text.submit, self.size.input):
            trigger(self.first, asked, [*self.outputs, *self.panel.outputs], **PRIVATE)
        moves = [*self.outputs, *self.panel.outputs]
        self.next.click(self.older, [self.position, *asked], moves, **PRIVATE)
        self.previous.click(self.newer, [self.position, *asked], moves, **PRIVATE)
        self.refresh.click(self.same, [self.position, *asked], moves, **PRIVATE)
        picking = [
            self.picked,
            self.position,
            self.selection,
            self.selected,
            self.delete,
            self.gallery,
        ]
        self.gallery.select(
            self.choose,
            [self.position, self.several, self.picked],
            [*picking, *self.panel.outputs],
            show_progress="hidden",
            **PRIVATE,
        ).then(None, js=self.panel.SCROLL, **PRIVATE)
        self.selected.select(
            self.unpick, [self.position, self.picked], picking, show_progress="hidden", **PRIVATE
        )
        self.clear.click(self.unpick_all, self.position, picking, **PRIVATE)
        self.panel.yes.click(
            self.delete_one,
            [self.panel.id, self.position, *asked],
            list({*self.outputs, *picking, *self.panel.outputs, self.shared.changed}),
            **PRIVATE,
        )

    # Handlers: pages

    @report_errors
    def first(self, text: str, size: int, picked: list[int], request: gr.Request) -> Updates:
        """The newest."""
        return self._page((None,), text, size, picked, request_language(request))

    @report_errors
    def older(
        self, position: Position, text: str, size: int, picked: list[int], request: gr.Request
    ) -> Updates:
        """The next page; the last one again where there is none."""
        onwards = (position.next,) if position.next else ()
        return self._page(
            (*position.cursors, *onwards), text, size, picked, request_language(request)
        )

    @report_errors
    def newer(
        self, position: Position, text: str, size: int, picked: list[int], request: gr.Request
    ) -> Updates:
        """The page before."""
        return self._page(
            position.cursors[:-1] or (None,), text, size, picked, request_language(request)
        )

    @report_errors
    def same(
        self, position: Position, text: str, size: int, picked: list[int], request: gr.Request
    ) -> Updates:
        """This page as it is now."""
        return self._page(position.cursors, text, size, picked, request_language(request))

    # Handlers: pictures

    @report_errors
    def choose(
        self,
        position: Position,
        several: bool,
        picked: list[int],
        event: gr.SelectData,
        request: gr.Request,
    ) -> Updates:
        """Show the record of the picture that was clicked; or take it into the selection, or out
        of it again."""
        record_id = clicked_id(event, position.ids)
        if not several or record_id is None:
            return self.panel.show(self.shared.search, record_id, None, request_language(request))
        return {
            **self._toggle(position, picked, record_id, request_language(request)),
            **self.panel.hide(),
        }

    @report_errors
    def unpick(
        self, position: Position, picked: list[int], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Take one out of the selection."""
        return self._toggle(position, picked, clicked_id(event, picked), request_language(request))

    @report_errors
    def unpick_all(self, position: Position, request: gr.Request) -> Updates:
        """Select nothing."""
        return self._show_selection(position, [], request_language(request))

    @report_errors
    def delete_one(
        self,
        record_id: int | None,
        position: Position,
        text: str,
        size: int,
        picked: list[int],
        request: gr.Request,
    ) -> Updates:
        """Delete the chosen image, and show the page without it."""
        language = request_language(request)
        deleted = self.shared.search.delete_ids([] if record_id is None else [record_id])
        left = [each for each in picked if each != record_id]
        page = self._page(position.cursors, text, size, left, language)
        told = note(translate_count(language, "deleted", deleted), "good")
        return {
            **self._show_selection(page[self.position], left, language),
            **page,
            self.status: told + page[self.status],
            self.shared.changed: time.time_ns(),
        }

    # What they share

    def _page(
        self,
        cursors: tuple[Cursor | None, ...],
        text: str,
        size: int,
        picked: list[int],
        language: Language,
    ) -> Updates:
        text = text.strip()
        page = self.shared.search.page(cursors[-1], int(size), text)
        if not page.records and len(cursors) > 1:  # all of them were deleted meanwhile
            return self._page(cursors[:-1], text, size, picked, language)
        position = Position(cursors, tuple(record.id for record in page.records), page.next)
        return {
            self.position: position,
            self.status: self._status_html(len(page.records), len(cursors), text, language),
            self.gallery: gr.Gallery(value=self._items(page.records, picked), selected_index=None),
            self.previous: gr.Button(interactive=len(cursors) > 1),
            self.next: gr.Button(interactive=page.next is not None),
            **self.panel.hide(),
        }

    def _status_html(self, shown: int, page: int, text: str, language: Language) -> str:
        total = self.shared.search.stats().count
        images = translate_count(language, "images", total)
        if not total:
            return note(translate(language, "empty_gallery"))
        if not shown:
            return note(escape(translate(language, "no_filter_match", text=text)))
        words = "shown_filtered" if text else "shown"
        return note(
            escape(translate(language, words, page=page, shown=shown, total=images, text=text))
        )

    def _items(self, records: list[Record], picked: list[int]) -> list[tuple[str, str]]:
        marks = ("✓ " if record.id in picked else "" for record in records)
        captions = (mark + record.key for mark, record in zip(marks, records, strict=True))
        return gallery_items(self.shared.search, records, captions)

    def _toggle(
        self, position: Position, picked: list[int], record_id: int | None, language: Language
    ) -> Updates:
        if record_id in picked:
            return self._show_selection(
                position, [each for each in picked if each != record_id], language
            )
        return self._show_selection(
            position, [*picked, *([record_id] if record_id else [])], language
        )

    def _show_selection(self, position: Position, picked: list[int], language: Language) -> Updates:
        selected = self.shared.search.get(picked)
        here = self.shared.search.get(list(position.ids))
        items = gallery_items(self.shared.search, selected, [record.key for record in selected])
        count = translate(language, "delete_selected", count=len(selected))
        return {
            self.picked: [record.id for record in selected],
            self.selection: gr.Column(visible=bool(selected)),
            self.selected: gr.Gallery(value=items, selected_index=None),
            self.delete: gr.Button(count),
            self.gallery: gr.Gallery(value=self._items(here, picked), selected_index=None),
            self.position: replace(position, ids=tuple(record.id for record in here)),
        }
