"""The Search tab: an image in, the most similar ones out."""

from __future__ import annotations

import io
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
    Shared,
    Updates,
    cache_file,
    clicked_id,
    explain,
    gallery_items,
    label,
    note,
    picture_grid,
    report_errors,
    request_language,
    thumbnail,
    uploaded_file,
)
from bogv.ui.strings import Language, translate, translate_count

EXAMPLE_SIZE = 128  # pixels

SearchFunction = Callable[[int, float], SearchResult]
"""A search, given how many and the least score."""


@dataclass(frozen=True)
class Query:
    """What was searched with last: a file that is kept, or an image of the gallery."""

    path: Path | None = None
    record_id: int | None = None


class SearchTab:
    """Inputs on the left, results in the middle, the chosen one's record on the right."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.query = gr.State(None)  # Query | None
        self.hits = gr.State([])  # list[tuple[int, float]]: ids and scores
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.status = gr.HTML(elem_id="search-status", padding=False)
                self.gallery = picture_grid("results", "search-results", columns=4)
            self.panel = RecordPanel("search", "search_with")
        self.results = [self.query, self.hits, self.status, self.gallery, *self.panel.outputs]
        self._listen()

    def _inputs(self) -> None:
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
            self.fetch = gr.Button(label("fetch"), elem_id="query-fetch", size="sm", min_width=90)
        self.limit = gr.Slider(
            1, 100, 12, step=1, label=label("limit"), elem_id="limit", buttons=[]
        )
        self.min_score = gr.Slider(
            0, 1, 0, step=0.01, label=label("least"), elem_id="least", buttons=[]
        )
        self.examples = picture_grid("examples", "examples", columns=5, small=True)

    def _listen(self) -> None:
        asked = [self.limit, self.min_score]
        shown = [self.image, *self.results]
        raw: dict[str, Any] = {**PRIVATE, "preprocess": False}
        self.image.input(self.by_image, [self.image, *asked], self.results, **raw)
        for trigger in (self.url.submit, self.fetch.click):
            trigger(self.by_url, [self.url, *asked], shown, **PRIVATE)
        self.examples.select(self.by_example, asked, shown, **PRIVATE)
        for slider in (self.limit, self.min_score):
            slider.release(self.again, [self.query, *asked], self.results, **PRIVATE)
        self.gallery.select(self.choose, self.hits, self.panel.outputs, **PRIVATE).then(
            None, js=self.panel.SCROLL, **PRIVATE
        )
        self.panel.similar.click(self.by_record, [self.panel.id, *asked], shown, **PRIVATE)
        self.panel.yes.click(
            self.delete,
            [self.panel.id, self.hits],
            [self.shared.changed, self.hits, self.status, self.gallery, *self.panel.outputs],
            **PRIVATE,
        )

    # Handlers

    @report_errors
    def open(self, request: gr.Request) -> Updates:
        """When the page is loaded: where to begin, and the examples."""
        words = "start" if self.shared.search.stats().count else "empty_gallery"
        samples = [
            (cache_file(_small(path), f"{path.stem}.webp"), None) for path in self._samples()
        ]
        examples = gr.Gallery(value=samples, visible=bool(samples))
        return {
            self.status: note(translate(request_language(request), words)),
            self.examples: examples,
        }

    @report_errors
    def by_image(
        self, file: dict[str, Any] | None, limit: int, min_score: float, request: gr.Request
    ) -> Updates:
        """Search with what was uploaded, pasted or photographed; taken out: show nothing."""
        language = request_language(request)
        if file is None:
            return self._nothing(note(translate(language, "start")))
        return self._by_path(uploaded_file(file)[0], limit, min_score, language)

    @report_errors
    def by_url(self, url: str, limit: int, min_score: float, request: gr.Request) -> Updates:
        """Search with the image behind a URL, and show it."""
        language = request_language(request)
        try:
            data = self.shared.sources.from_url(url)
            picture = self.shared.search.decoder.decode(data, thumbnail=True).thumbnail
        except BogvError as error:
            return {self.image: None, **self._nothing(note(explain(error, language), "bad"))}
        found = self._by_path(Path(cache_file(data, "query")), limit, min_score, language)
        return {self.image: cache_file(picture or b"", "query.webp"), **found}

    @report_errors
    def by_example(
        self, limit: int, min_score: float, event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Search with one of the sample images."""
        path = self._samples()[int(event.index)]
        copy = cache_file(read_file(path, self.shared.sources.max_bytes), path.name)
        return {
            self.image: copy,
            **self._by_path(Path(copy), limit, min_score, request_language(request)),
        }

    @report_errors
    def by_record(
        self, record_id: int | None, limit: int, min_score: float, request: gr.Request
    ) -> Updates:
        """Search with an image of the gallery."""
        if record_id is None:
            return {}
        picture = cache_file(thumbnail(self.shared.search, record_id), f"{record_id}.webp")
        found = self._by_id(record_id, limit, min_score, request_language(request))
        return {self.image: picture, **found}

    @report_errors
    def again(
        self, query: Query | None, limit: int, min_score: float, request: gr.Request
    ) -> Updates:
        """Search as before, after a slider was moved."""
        language = request_language(request)
        if query is not None and query.path is not None:
            return self._by_path(query.path, limit, min_score, language)
        if query is not None and query.record_id is not None:
            return self._by_id(query.record_id, limit, min_score, language)
        return {self.query: None}

    @report_errors
    def choose(
        self, hits: list[tuple[int, float]], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Show the record of the result that was clicked."""
        record_id = clicked_id(event, [hit[0] for hit in hits])
        score = dict(hits).get(record_id) if record_id is not None else None
        return self.panel.show(self.shared.search, record_id, score, request_language(request))

    @report_errors
    def delete(
        self, record_id: int | None, hits: list[tuple[int, float]], request: gr.Request
    ) -> Updates:
        """Delete the chosen image, and take it out of the results."""
        deleted = self.shared.search.delete_ids([] if record_id is None else [record_id])
        left = [hit for hit in hits if hit[0] != record_id]
        records = {each.id: each for each in self.shared.search.get([hit[0] for hit in left])}
        still = [Hit(records[each], score) for each, score in left if each in records]
        return {
            self.shared.changed: time.time_ns(),
            self.status: note(
                translate_count(request_language(request), "deleted", deleted), "good"
            ),
            **self._pictures(still),
            **self.panel.hide(),
        }

    # What they share

    def _samples(self) -> list[Path]:
        paths = (self.shared.samples_dir / name for name in SAMPLE_QUERIES)
        return [path for path in paths if path.is_file()]

    def _by_path(self, path: Path, limit: int, min_score: float, language: Language) -> Updates:
        def look(limit: int, min_score: float) -> SearchResult:
            data = read_file(path, self.shared.sources.max_bytes, open_without_links)
            return self.shared.search.search(data, limit, min_score)

        return {self.query: Query(path=path), **self._found(look, limit, min_score, language)}

    def _by_id(self, record_id: int, limit: int, min_score: float, language: Language) -> Updates:
        look = partial(self.shared.search.similar, record_id)
        return {
            self.query: Query(record_id=record_id),
            **self._found(look, limit, min_score, language),
        }

    def _found(
        self, look: SearchFunction, limit: int, min_score: float, language: Language
    ) -> Updates:
        try:
            result = look(int(limit), float(min_score))
        except NotFound as error:
            return self._nothing(note(explain(error, language), "bad"), keep_query=True)
        except BogvError as error:
            return self._nothing(note(explain(error, language), "bad"))
        status = self._status_html(result, float(min_score), language)
        return {self.status: status, **self._pictures(result.hits), **self.panel.hide()}

    def _status_html(self, result: SearchResult, min_score: float, language: Language) -> str:
        """How many were found, among how many, and how long each stage took."""
        total = self.shared.search.stats().count
        if not total:
            return note(translate(language, "empty_gallery"))
        if not result.hits and not min_score:
            return note(translate(language, "none_similar"))
        if not result.hits:
            return note(escape(translate(language, "no_match", min_score=f"{min_score:.2f}")))
        images = translate_count(language, "images", total)
        found = translate(language, "found", found=len(result.hits), total=images)
        stages = (
            translate(language, stage, ms=f"{seconds * 1000:.1f}")
            for stage, seconds in result.seconds.items()
        )
        return note(f"<b>{found}</b> <span>{' · '.join(stages)}</span>")

    def _pictures(self, hits: list[Hit]) -> Updates:
        records = [hit.record for hit in hits]
        captions = [f"{hit.score:.3f} · {hit.record.key}" for hit in hits]
        items = gallery_items(self.shared.search, records, captions)
        return {
            self.hits: [(hit.record.id, hit.score) for hit in hits],
            self.gallery: gr.Gallery(value=items, selected_index=None),
        }

    def _nothing(self, status: str, keep_query: bool = False) -> Updates:
        kept: Updates = {} if keep_query else {self.query: None}
        return {**kept, self.status: status, **self._pictures([]), **self.panel.hide()}


@lru_cache(maxsize=16)
def _small(path: Path) -> bytes:
    """A sample as a WebP of at most EXAMPLE_SIZE pixels."""
    out = io.BytesIO()
    with Image.open(path) as image:
        image.thumbnail((EXAMPLE_SIZE * 2, EXAMPLE_SIZE * 2))
        image.save(out, "WEBP", quality=80)
    return out.getvalue()
