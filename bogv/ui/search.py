"""The Search tab: finds the images that are most similar to a query image."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from bogv.copies.verifier import MAX_HITS
from bogv.errors import BogvError, NotFound
from bogv.records import Hit, SearchResult
from bogv.sources.paths import open_without_links, read_file
from bogv.sources.samples import SAMPLE_QUERIES
from bogv.ui.answers import (
    LIMIT,
    MIN_RARITY,
    MIN_SCORE,
    Answer,
    Options,
    Query,
    Verified,
)
from bogv.ui.components import (
    PRIVATE,
    SHOW_CARD,
    RecordPanel,
    TabContext,
    Updates,
    build_gallery_items,
    build_picture_grid,
    build_slider,
    cache_file,
    clicked_id,
    correct_numbers,
    encode_example,
    explain,
    label,
    read_thumbnail,
    render_note,
    report_errors,
    request_language,
    resolve_upload,
)
from bogv.ui.matches import describe_caption, render_summary, render_verdict, render_why
from bogv.ui.strings import Language, translate, translate_count


class SearchTab:
    """Inputs on the left, results in the middle, the selected record on the right."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        self.query = gr.State(None)  # Query | None
        self.hits = gr.State([])  # list[Hit]
        self.answer = gr.State(None)  # Answer | None: of the last search
        self.verified = gr.State(None)  # Verified | None
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._build_inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.status = gr.HTML(elem_id="search-status", padding=False)
                self.gallery = build_picture_grid("results", "search-results", columns=4)
            self.panel = RecordPanel("search", "search_with")
            with self.panel.panel:
                self.why = gr.HTML(elem_id="search-why", padding=False)
        self.shown = [self.hits, self.status, self.gallery]
        self.outputs = [self.query, self.answer, *self.shown, *self.panel.outputs]
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
        self.limit = build_slider(LIMIT, "limit")
        self.min_score = build_slider(MIN_SCORE, "least")
        self.min_rarity = build_slider(MIN_RARITY, "rarity", visible=False)
        self.examples = build_picture_grid("examples", "examples", columns=5, small=True)

    @property
    def options(self) -> list[gr.Slider]:
        """The last inputs of each search."""
        return [self.limit, self.min_score, self.min_rarity]

    def _connect_events(self) -> None:
        options = self.options
        all_outputs = [self.image, *self.outputs]
        raw: dict[str, Any] = {**PRIVATE, "preprocess": False, "trigger_mode": "always_last"}
        searches = [
            self.image.input(self.search_by_image, [self.image, *options], self.outputs, **raw),
            self.url.submit(self.search_by_url, [self.url, *options], all_outputs, **PRIVATE),
            self.url_button.click(self.search_by_url, [self.url, *options], all_outputs, **PRIVATE),
            self.examples.select(self.search_by_example, options, all_outputs, **PRIVATE),
            self.panel.similar_button.click(
                self.search_by_record, [self.panel.id, *options], all_outputs, **PRIVATE
            ),
        ]
        for search in searches:
            search.then(None, js="() => bogv.showResults()", **PRIVATE)
        for slider in options:
            slider.release(
                self.search_again,
                [self.query, self.answer, *options],
                [*self.outputs, *options],
                trigger_mode="always_last",
                show_progress="hidden",
                **PRIVATE,
            )
        # Two steps: a search that ends between them changes the answer, and the second step, which
        # reads it when it starts, leaves that search's results on the screen.
        hidden: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}
        self.answer.change(
            self.verify, self.answer, self.verified, trigger_mode="multiple", **hidden
        ).then(
            self.show_verified,
            [self.answer, self.verified],
            self.shown,
            trigger_mode="multiple",
            **hidden,
        )
        self.gallery.select(
            self.show_record, [self.query, self.hits], [*self.panel.outputs, self.why], **PRIVATE
        ).then(None, js=SHOW_CARD, **PRIVATE)
        self.panel.confirm_button.click(
            self.delete,
            [self.panel.id, self.hits, self.answer],
            [self.context.gallery_changed, self.answer, *self.shown, *self.panel.outputs],
            **PRIVATE,
        )

    # Handlers

    @report_errors
    def show_start(self, request: gr.Request) -> Updates:
        """Show the instructions and the examples when the page is loaded."""
        key = "search_start" if self.context.search.stats().count else "empty_gallery"
        items = [
            (cache_file(encode_example(path), f"{path.stem}.webp"), None)
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
            return self._clear_results(render_note(translate(language, "search_start")), language)
        options = Options.read(limit, min_score, min_rarity)
        return self._search(Query(resolve_upload(file)[0]), options, language)

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
            return {self.image: None, **self._clear_results(message, language)}
        query = Query(Path(cache_file(data, "query")))
        found = self._search(query, Options.read(limit, min_score, min_rarity), language)
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
        options = Options.read(limit, min_score, min_rarity)
        found = self._search(Query(Path(copy)), options, request_language(request))
        return {self.image: copy, **found}

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
        options = Options.read(limit, min_score, min_rarity)
        found = self._search(Query(record_id=record_id), options, request_language(request))
        return {self.image: picture, **found}

    @report_errors
    def search_again(
        self,
        query: Query | None,
        answer: Answer | None,
        limit: object,
        min_score: object,
        request: gr.Request,
        min_rarity: object = 0,
    ) -> Updates:
        """Repeat the last search after a slider was moved, not after its field was only passed."""
        language, values = request_language(request), (limit, min_score, min_rarity)
        options = Options.read(*values)
        corrected = correct_numbers(self.options, values, language)
        if query is None or (answer is not None and answer.options == options):
            return {self.query: query, **corrected}
        return {**self._search(query, options, language), **corrected}

    @report_errors
    def verify(self, answer: Answer | None) -> Verified | None:
        """Search once more, and verify the geometry of the first hits."""
        if answer is None or answer.checked:
            return None
        result, error = answer.result, None
        try:
            result = self._find(answer.query, answer.options, verify=True)
        except BogvError as failure:
            error = failure
        return Verified(answer, replace(answer, result=result, checked=error or True))

    @report_errors
    def show_verified(
        self, answer: Answer | None, verified: Verified | None, request: gr.Request
    ) -> Updates:
        """Show the badges of verified hits, unless another search was answered meanwhile."""
        if answer is None or verified is None or verified.before is not answer:
            return {}
        return self._show_answer(verified.after, request_language(request))

    @report_errors
    def show_record(
        self, query: Query | None, hits: list[Hit], event: gr.SelectData, request: gr.Request
    ) -> Updates:
        """Show the record of the clicked result, and why it was found."""
        language = request_language(request)
        record_id = clicked_id(event, [hit.record.id for hit in hits])
        hit = next((hit for hit in hits if hit.record.id == record_id), None)
        score = None if hit is None else hit.score
        shown = self.panel.show(self.context.search, record_id, score, language)
        if query is None or hit is None or shown[self.panel.id] is None:
            return {**shown, self.why: ""}
        return {**shown, self.why: self._explain(query, hit, language)}

    @report_errors
    def delete(
        self, record_id: int | None, hits: list[Hit], answer: Answer | None, request: gr.Request
    ) -> Updates:
        """Delete the image of the panel and remove it from the results."""
        deleted = self.context.search.delete_ids([] if record_id is None else [record_id])
        remaining = [hit for hit in hits if hit.record.id != record_id]
        existing = {each.id for each in self.context.search.get([x.record.id for x in remaining])}
        language = request_language(request)
        status = translate_count(language, "deleted", deleted)
        return {
            self.context.gallery_changed: time.time_ns(),
            # Another one: the badges of hits that are being verified come too late.
            self.answer: answer and replace(answer, checked=True),
            self.status: render_note(status, "good"),
            **self._show_hits([hit for hit in remaining if hit.record.id in existing], language),
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

    def _read(self, query: Query) -> bytes:
        """The query's file, or the thumbnail of its image. Raises BogvError if there is none."""
        if query.path is not None:
            return read_file(query.path, self.context.sources.max_bytes, open_without_links)
        return read_thumbnail(self.context.search, query.record_id or 0)

    def _find(self, query: Query, options: Options, verify: bool = False) -> SearchResult:
        search, values = self.context.search, (options.limit, options.lowest_score)
        if query.record_id is not None:
            return search.similar(query.record_id, *values, verify, options.max_rarity)
        return search.search(self._read(query), *values, verify, options.max_rarity)

    def _search(self, query: Query, options: Options, language: Language) -> Updates:
        try:
            result = self._find(query, options)
        except BogvError as error:
            # After NotFound, the query stays: the sliders report the error again.
            message = render_note(explain(error, language), "bad")
            kept = query if isinstance(error, NotFound) else None
            return {**self._clear_results(message, language), self.query: kept}
        answer = Answer(query, options, result)
        return {
            self.query: query,
            self.answer: answer,
            **self._show_answer(answer, language),
            **self.panel.hide(),
        }

    def _explain(self, query: Query, hit: Hit, language: Language) -> str:
        try:
            return render_why(self.context.search, self._read(query), hit, language)
        except BogvError as error:  # the record is shown all the same
            return render_note(explain(error, language), "bad")

    def _show_answer(self, answer: Answer, language: Language) -> Updates:
        status = self._render_status(answer, language)
        return {self.status: status, **self._show_hits(answer.result.hits, language)}

    def _render_status(self, answer: Answer, language: Language) -> str:
        """HTML: whether there is a copy, number of results, size of the gallery, milliseconds of
        each stage."""
        result, options, stats = answer.result, answer.options, self.context.search.stats()
        if not stats.count:
            return render_note(translate(language, "empty_gallery"))
        checking = 0 if answer.checked else min(MAX_HITS, options.limit, stats.count)
        lines = [
            render_verdict(
                result,
                stats.count,
                language,
                checking=checking,
                missing=stats.copies.missing,
                again=answer.query.record_id is not None,
            ),
            render_summary(result, stats.count, options.min_score, options.max_rarity, language),
        ]
        if isinstance(answer.checked, BogvError):
            lines.append(explain(answer.checked, language))
        return render_note("".join(lines))

    def _show_hits(self, hits: list[Hit], language: Language) -> Updates:
        records = [hit.record for hit in hits]
        captions = [describe_caption(hit, language) for hit in hits]
        items = build_gallery_items(self.context.search, records, captions)
        return {self.hits: hits, self.gallery: gr.Gallery(value=items, selected_index=None)}

    def _clear_results(self, status: str, language: Language) -> Updates:
        return {
            self.query: None,
            self.answer: None,
            **self._show_hits([], language),
            self.status: status,
            **self.panel.hide(),
        }
