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
    chosen,
    guarded,
    label,
    language,
    note,
    picture_grid,
    pictures,
)
from bogv.ui.strings import Language, count_of, say

PAGE_SIZES = (12, 24, 48, 96)


@dataclass(frozen=True)
class Place:
    """Where the user is: the way to this page, what is on it, and where the next one begins."""

    cursors: tuple[Cursor | None, ...] = (None,)
    """Where each page up to this one begins, the first at None."""
    ids: tuple[int, ...] = ()
    next: Cursor | None = None


class GalleryTab:
    """Filter and pages above, pictures in the middle, the chosen one's record on the right."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.place = gr.State(Place())
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
        self.outputs = [self.place, self.status, self.gallery, self.previous, self.next]
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
        self.next.click(self.older, [self.place, *asked], moves, **PRIVATE)
        self.previous.click(self.newer, [self.place, *asked], moves, **PRIVATE)
        self.refresh.click(self.same, [self.place, *asked], moves, **PRIVATE)
        picking = [
            self.picked,
            self.place,
            self.selection,
            self.selected,
            self.delete,
            self.gallery,
        ]
        self.gallery.select(
            self.choose,
            [self.place, self.several, self.picked],
            [*picking, *self.panel.outputs],
            show_progress="hidden",
            **PRIVATE,
        ).then(None, js=self.panel.SCROLL, **PRIVATE)
        self.selected.select(
            self.unpick, [self.place, self.picked], picking, show_progress="hidden", **PRIVATE
        )
        self.clear.click(self.unpick_all, self.place, picking, **PRIVATE)
        self.panel.yes.click(
            self.delete_one,
            [self.panel.id, self.place, *asked],
            list({*self.outputs, *picking, *self.panel.outputs, self.shared.changed}),
            **PRIVATE,
        )

    # Handlers: pages

    @guarded
    def first(self, text: str, size: int, picked: list[int], request: gr.Request) -> Updates:
        """The newest."""
        return self._page((None,), text, size, picked, language(request))

    @guarded
    def older(
        self, place: Place, text: str, size: int, picked: list[int], request: gr.Request
    ) -> Updates:
        """The next page; the last one again where there is none."""
        onwards = (place.next,) if place.next else ()
        return self._page((*place.cursors, *onwards), text, size, picked, language(request))

    @guarded
    def newer(
        self, place: Place, text: str, size: int, picked: list[int], request: gr.Request
    ) -> Updates:
        """The page before."""
        return self._page(place.cursors[:-1] or (None,), text, size, picked, language(request))

    @guarded
    def same(
        self, place: Place, text: str, size: int, picked: list[int], request: gr.Request
    ) -> Updates:
        """This page as it is now."""
        return self._page(place.cursors, text, size, picked, language(request))

    # Handlers: pictures

    @guarded
    def choose(
        self,
        place: Place,
        several: bool,
        picked: list[int],
        event: gr.SelectData,
        request: gr.Request,
    ) -> Updates:
        """Show the record of the picture that was clicked; or take it into the selection, or out
        of it again."""
        record_id = chosen(event, place.ids)
        if not several or record_id is None:
            return self.panel.shown(self.shared.search, record_id, None, language(request))
        return {**self._toggled(place, picked, record_id, language(request)), **self.panel.hidden()}

    @guarded
    def unpick(
        self, place: Place, picked: list[int], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Take one out of the selection."""
        return self._toggled(place, picked, chosen(event, picked), language(request))

    @guarded
    def unpick_all(self, place: Place, request: gr.Request) -> Updates:
        """Select nothing."""
        return self._picking(place, [], language(request))

    @guarded
    def delete_one(
        self,
        record_id: int | None,
        place: Place,
        text: str,
        size: int,
        picked: list[int],
        request: gr.Request,
    ) -> Updates:
        """Delete the chosen image, and show the page without it."""
        spoken = language(request)
        deleted = self.shared.search.delete_ids([] if record_id is None else [record_id])
        left = [each for each in picked if each != record_id]
        page = self._page(place.cursors, text, size, left, spoken)
        told = note(count_of(spoken, "deleted", deleted), "good")
        return {
            **self._picking(page[self.place], left, spoken),
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
        spoken: Language,
    ) -> Updates:
        text = text.strip()
        page = self.shared.search.page(cursors[-1], int(size), text)
        if not page.records and len(cursors) > 1:  # all of them were deleted meanwhile
            return self._page(cursors[:-1], text, size, picked, spoken)
        place = Place(cursors, tuple(record.id for record in page.records), page.next)
        return {
            self.place: place,
            self.status: self._told(len(page.records), len(cursors), text, spoken),
            self.gallery: gr.Gallery(value=self._items(page.records, picked), selected_index=None),
            self.previous: gr.Button(interactive=len(cursors) > 1),
            self.next: gr.Button(interactive=page.next is not None),
            **self.panel.hidden(),
        }

    def _told(self, shown: int, page: int, text: str, spoken: Language) -> str:
        total = self.shared.search.stats().count
        images = count_of(spoken, "images", total)
        if not total:
            return note(say(spoken, "empty_gallery"))
        if not shown:
            return note(escape(say(spoken, "no_filter_match", text=text)))
        words = "shown_filtered" if text else "shown"
        return note(escape(say(spoken, words, page=page, shown=shown, total=images, text=text)))

    def _items(self, records: list[Record], picked: list[int]) -> list[tuple[str, str]]:
        marks = ("✓ " if record.id in picked else "" for record in records)
        captions = (mark + record.key for mark, record in zip(marks, records, strict=True))
        return pictures(self.shared.search, records, captions)

    def _toggled(
        self, place: Place, picked: list[int], record_id: int | None, spoken: Language
    ) -> Updates:
        if record_id in picked:
            return self._picking(place, [each for each in picked if each != record_id], spoken)
        return self._picking(place, [*picked, *([record_id] if record_id else [])], spoken)

    def _picking(self, place: Place, picked: list[int], spoken: Language) -> Updates:
        selected = self.shared.search.get(picked)
        here = self.shared.search.get(list(place.ids))
        items = pictures(self.shared.search, selected, [record.key for record in selected])
        count = say(spoken, "delete_selected", count=len(selected))
        return {
            self.picked: [record.id for record in selected],
            self.selection: gr.Column(visible=bool(selected)),
            self.selected: gr.Gallery(value=items, selected_index=None),
            self.delete: gr.Button(count),
            self.gallery: gr.Gallery(value=self._items(here, picked), selected_index=None),
            self.place: replace(place, ids=tuple(record.id for record in here)),
        }
