"""The Search tab: finds the images that are most similar to a query image."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from bogv.errors import BogvError, NotFound
from bogv.records import Hit, SearchResult
from bogv.sources.paths import open_without_links, read_file
from bogv.sources.samples import SAMPLE_QUERIES
from bogv.ui.components import (
    PRIVATE,
    RecordPanel,
    TabContext,
    Updates,
    build_gallery_items,
    build_picture_grid,
    cache_file,
    clicked_id,
    explain,
    label,
    read_thumbnail,
    render_note,
    report_errors,
    request_language,
    resolve_upload,
)
from bogv.ui.strings import Language, translate, translate_count

EXAMPLE_SIZE = 128  # CSS pixels

SearchFunction = Callable[[int, float, float | None], SearchResult]
"""(limit, min_score, max_rarity) -> result."""


@dataclass(frozen=True)
class Query:
    """The last query: a file in gradio's cache, or an image of the gallery."""

    path: Path | None = None
    record_id: int | None = None


class SearchTab:
    """Inputs on the left, results in the middle, the selected record on the right."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.query = gr.State(None)  # Query | None
        self.hits = gr.State([])  # list[tuple[int, float]]: ids and scores
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._build_inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.status = gr.HTML(elem_id="search-status", padding=False)
                self.gallery = build_picture_grid("results", "search-results", columns=4)
            self.panel = RecordPanel("search", "search_with")
        self.outputs = [self.query, self.hits, self.status, self.gallery, *self.panel.outputs]
        self._connect_events()

    def _build_inputs(self) -> None:
        self.image = gr.Image(
            label=label("query"),
            placeholder=label("query_drop"),
            sources=["upload", "clipboard", "webcam"],
            type="filepath",
            elem_id="query-image",
            height=260,
            buttons=[],
        )
        with gr.Row(elem_classes="bogv-url"):
            self.url = gr.Textbox(
                label=label("query_url"),
                placeholder="https://…",
                elem_id="query-url",
                max_lines=1,
                max_length=4096,
                scale=3,
                min_width=140,
            )
            self.url_button = gr.Button(
                label("search_url"), elem_id="query-fetch", size="sm", min_width=90
            )
        self.limit = gr.Slider(
            1, 100, 12, step=1, label=label("limit"), elem_id="limit", buttons=[]
        )
        self.min_score = gr.Slider(
            0, 1, 0, step=0.01, label=label("min_score"), elem_id="least", buttons=[]
        )
        self.min_rarity = gr.Slider(
            0, 6, 0, step=0.1, label=label("min_rarity"), elem_id="rarity", buttons=[],
            visible=False,
        )  # fmt: skip
        self.examples = build_picture_grid("examples", "examples", columns=5, small=True)

    @property
    def options(self) -> list[gr.Slider]:
        """The last inputs of each search."""
        return [self.limit, self.min_score, self.min_rarity]

    def _connect_events(self) -> None:
        options = self.options
        all_outputs = [self.image, *self.outputs]
        raw: dict[str, Any] = {**PRIVATE, "preprocess": False}
        self.image.input(self.search_by_image, [self.image, *options], self.outputs, **raw)
        for trigger in (self.url.submit, self.url_button.click):
            trigger(self.search_by_url, [self.url, *options], all_outputs, **PRIVATE)
        self.examples.select(self.search_by_example, options, all_outputs, **PRIVATE)
        for slider in options:
            slider.release(self.search_again, [self.query, *options], self.outputs, **PRIVATE)
        self.gallery.select(self.show_record, self.hits, self.panel.outputs, **PRIVATE).then(
            None, js=self.panel.SCROLL, **PRIVATE
        )
        self.panel.similar_button.click(
            self.search_by_record, [self.panel.id, *options], all_outputs, **PRIVATE
        )
        self.panel.confirm_button.click(
            self.delete,
            [self.panel.id, self.hits],
            [
                self.context.gallery_changed,
                self.hits,
                self.status,
                self.gallery,
                *self.panel.outputs,
            ],
            **PRIVATE,
        )

    # Handlers

    @report_errors
    def show_start(self, request: gr.Request) -> Updates:
        """Show the instructions and the examples when the page is loaded."""
        key = "search_start" if self.context.search.stats().count else "empty_gallery"
        items = [
            (cache_file(_encode_example(path), f"{path.stem}.webp"), None)
            for path in self._sample_paths()
        ]
        examples = gr.Gallery(value=items, visible=bool(items))
        return {
            self.status: render_note(translate(request_language(request), key)),
            self.examples: examples,
            self.min_rarity: self._limit_rarity(),
        }

    @report_errors
    def search_by_image(
        self,
        file: dict[str, Any] | None,
        limit: int,
        min_score: float,
        request: gr.Request,
        min_rarity: float = 0,
    ) -> Updates:
        """Search with an uploaded image; None, when it was removed, clears the results."""
        language = request_language(request)
        if file is None:
            return self._clear_results(render_note(translate(language, "search_start")))
        return self._search_by_path(resolve_upload(file)[0], limit, min_score, language, min_rarity)

    @report_errors
    def search_by_url(
        self, url: str, limit: int, min_score: float, request: gr.Request, min_rarity: float = 0
    ) -> Updates:
        """Search with the image at a URL, and show it as the query image."""
        language = request_language(request)
        try:
            data = self.context.sources.from_url(url)
            picture = self.context.search.decoder.decode(data, thumbnail=True).thumbnail
        except BogvError as error:
            message = render_note(explain(error, language), "bad")
            return {self.image: None, **self._clear_results(message)}
        found = self._search_by_path(
            Path(cache_file(data, "query")), limit, min_score, language, min_rarity
        )
        return {self.image: cache_file(picture or b"", "query.webp"), **found}

    @report_errors
    def search_by_example(
        self,
        limit: int,
        min_score: float,
        event: gr.SelectData,
        request: gr.Request,
        min_rarity: float = 0,
    ) -> Updates:
        """Search with the clicked sample image."""
        path = self._sample_paths()[int(event.index)]
        copy = cache_file(read_file(path, self.context.sources.max_bytes), path.name)
        return {
            self.image: copy,
            **self._search_by_path(
                Path(copy), limit, min_score, request_language(request), min_rarity
            ),
        }

    @report_errors
    def search_by_record(
        self,
        record_id: int | None,
        limit: int,
        min_score: float,
        request: gr.Request,
        min_rarity: float = 0,
    ) -> Updates:
        """Search with an image of the gallery."""
        if record_id is None:
            return {}
        picture = cache_file(read_thumbnail(self.context.search, record_id), f"{record_id}.webp")
        found = self._search_by_id(
            record_id, limit, min_score, request_language(request), min_rarity
        )
        return {self.image: picture, **found}

    @report_errors
    def search_again(
        self,
        query: Query | None,
        limit: int,
        min_score: float,
        request: gr.Request,
        min_rarity: float = 0,
    ) -> Updates:
        """Repeat the last search after a slider was moved."""
        language = request_language(request)
        if query is not None and query.path is not None:
            return self._search_by_path(query.path, limit, min_score, language, min_rarity)
        if query is not None and query.record_id is not None:
            return self._search_by_id(query.record_id, limit, min_score, language, min_rarity)
        return {self.query: None}

    @report_errors
    def show_record(
        self, hits: list[tuple[int, float]], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Show the record of the clicked result."""
        record_id = clicked_id(event, [hit[0] for hit in hits])
        score = dict(hits).get(record_id) if record_id is not None else None
        return self.panel.show(self.context.search, record_id, score, request_language(request))

    @report_errors
    def delete(
        self, record_id: int | None, hits: list[tuple[int, float]], request: gr.Request
    ) -> Updates:
        """Delete the image of the panel and remove it from the results."""
        deleted = self.context.search.delete_ids([] if record_id is None else [record_id])
        remaining = [hit for hit in hits if hit[0] != record_id]
        records = {each.id: each for each in self.context.search.get([hit[0] for hit in remaining])}
        shown = [Hit(records[each], score) for each, score in remaining if each in records]
        status = translate_count(request_language(request), "deleted", deleted)
        return {
            self.context.gallery_changed: time.time_ns(),
            self.status: render_note(status, "good"),
            **self._show_hits(shown),
            **self.panel.hide(),
        }

    # Shared by the handlers

    def _limit_rarity(self) -> gr.Slider:
        """The slider up to the rarity that the compared pairs tell; hidden if there are none."""
        background = self.context.search.rarity.background
        if background is None or not self.context.search.rarity.summary:
            return gr.Slider(visible=False)
        return gr.Slider(
            visible=True, maximum=math.floor(-10 * math.log10(background.smallest)) / 10
        )

    def _sample_paths(self) -> list[Path]:
        paths = (self.context.samples_dir / name for name in SAMPLE_QUERIES)
        return [path for path in paths if path.is_file()]

    def _search_by_path(
        self, path: Path, limit: int, min_score: float, language: Language, min_rarity: float
    ) -> Updates:
        def search(limit: int, min_score: float, max_rarity: float | None) -> SearchResult:
            data = read_file(path, self.context.sources.max_bytes, open_without_links)
            return self.context.search.search(data, limit, min_score, max_rarity)

        return {
            self.query: Query(path=path),
            **self._run(search, limit, min_score, language, min_rarity),
        }

    def _search_by_id(
        self, record_id: int, limit: int, min_score: float, language: Language, min_rarity: float
    ) -> Updates:
        search = partial(self.context.search.similar, record_id)
        return {
            self.query: Query(record_id=record_id),
            **self._run(search, limit, min_score, language, min_rarity),
        }

    def _run(
        self,
        search: SearchFunction,
        limit: int,
        min_score: float,
        language: Language,
        min_rarity: float,
    ) -> Updates:
        max_rarity = 10 ** -float(min_rarity) if min_rarity else None
        try:
            result = search(int(limit), float(min_score), max_rarity)
        except BogvError as error:
            # After NotFound, the query stays: the sliders report the error again.
            message = render_note(explain(error, language), "bad")
            return self._clear_results(message, keep_query=isinstance(error, NotFound))
        status = self._render_status(result, float(min_score), language, max_rarity)
        return {self.status: status, **self._show_hits(result.hits), **self.panel.hide()}

    def _render_status(
        self, result: SearchResult, min_score: float, language: Language, max_rarity: float | None
    ) -> str:
        """HTML: number of results, size of the gallery, milliseconds of each stage."""
        total = self.context.search.stats().count
        if not total:
            return render_note(translate(language, "empty_gallery"))
        if not result.hits and max_rarity is not None:
            return render_note(translate(language, "no_match_rare"))
        if not result.hits and not min_score:
            return render_note(translate(language, "none_similar"))
        if not result.hits:
            message = translate(language, "no_match", min_score=f"{min_score:.2f}")
            return render_note(escape(message))
        images = translate_count(language, "images", total)
        found = translate(language, "found", found=len(result.hits), total=images)
        stages = (
            translate(language, stage, ms=f"{seconds * 1000:.1f}")
            for stage, seconds in result.seconds.items()
        )
        return render_note(f"<b>{found}</b> <span>{' · '.join(stages)}</span>")

    def _show_hits(self, hits: list[Hit]) -> Updates:
        records = [hit.record for hit in hits]
        captions = [f"{hit.score:.3f} · {hit.record.key}" for hit in hits]
        items = build_gallery_items(self.context.search, records, captions)
        return {
            self.hits: [(hit.record.id, hit.score) for hit in hits],
            self.gallery: gr.Gallery(value=items, selected_index=None),
        }

    def _clear_results(self, status: str, keep_query: bool = False) -> Updates:
        query: Updates = {} if keep_query else {self.query: None}
        return {**query, self.status: status, **self._show_hits([]), **self.panel.hide()}


@lru_cache(maxsize=16)
def _encode_example(path: Path) -> bytes:
    """A sample image as WebP: at most 2 × EXAMPLE_SIZE pixels a side, for high-density screens."""
    out = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((EXAMPLE_SIZE * 2, EXAMPLE_SIZE * 2))
        image.save(out, "WEBP", quality=80)
    return out.getvalue()
