"""The Add tab: adds files, URLs or a server folder to the gallery, with a result for each image."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from html import escape
from itertools import compress
from pathlib import Path
from typing import Any

import gradio as gr

from bogv.errors import BogvError, FileMissing
from bogv.records import Added, NewImage, Status
from bogv.sources.folders import find_images
from bogv.sources.paths import open_without_links, read_file
from bogv.ui.components import (
    PRIVATE,
    TabContext,
    Updates,
    data_url,
    explain,
    label,
    read_thumbnail,
    render_note,
    report_errors,
    request_language,
    resolve_upload,
)
from bogv.ui.matches import describe_match
from bogv.ui.strings import Language, translate

MAX_ROWS = 200
COLUMNS = ("picture", "verdict", "key", "id", "filepath", "reason")
STAGES = {"decode": "stage_decode", "embed": "stage_embed", "write": "stage_write"}
BADGES: tuple[Status, ...] = ("created", "updated", "unchanged", "skipped", "failed")


class AddTab:
    """Inputs on the left, the table of results on the right."""

    def __init__(self, context: TabContext) -> None:
        self.context = context
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._build_inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.verdicts = gr.HTML(elem_id="verdicts", min_height=120, padding=False)
        inputs = [self.files, self.urls, self.folder, self.key]
        outputs = [self.verdicts, *inputs, context.gallery_changed]
        self.add_button.click(
            self.add,
            [*inputs, self.skip],
            outputs,
            preprocess=False,
            concurrency_limit=2,
            show_progress_on=self.verdicts,
            **PRIVATE,
        )

    def _build_inputs(self) -> None:
        self.files = gr.File(
            label=label("files"), file_count="multiple", elem_id="add-files", height=180
        )
        self.urls = gr.Textbox(
            label=label("urls"), lines=3, max_lines=8, placeholder="https://…", elem_id="add-urls"
        )
        self.folder = gr.Textbox(
            label=label("folder"),
            info=label("folder_help"),
            placeholder="/…",
            max_lines=1,
            elem_id="add-folder",
        )
        self.key = gr.Textbox(
            label=label("add_key"), info=label("add_key_help"), max_lines=1, elem_id="add-key"
        )
        self.skip = gr.Checkbox(
            False, label=label("add_skip"), info=label("add_skip_help"), elem_id="add-skip"
        )
        self.add_button = gr.Button(label("add"), variant="primary", elem_id="add-button")

    @report_errors
    def show_start(self, request: gr.Request) -> Updates:
        """Show the instructions when the page is loaded."""
        return {self.verdicts: render_note(translate(request_language(request), "add_start"))}

    @report_errors
    def add(
        self,
        files: list[dict[str, Any]] | None,
        urls: str,
        folder: str,
        key: str,
        skip: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio injects it by this default
    ) -> Updates:
        """Add all given images and show a table of the results.

        skip: leave out those that are copies of images in the gallery.
        """
        language, uploads = request_language(request), list(map(resolve_upload, files or []))
        lines = [line.strip() for line in urls.splitlines() if line.strip()]
        try:
            images = [
                *self._list_files(uploads, key.strip() or None),
                *self._list_urls(lines, key.strip() or None),
                *self._list_folder(folder.strip(), key.strip() or None),
            ]
        except BogvError as error:
            return {self.verdicts: render_note(explain(error, language), "bad")}
        if not images:
            reason = "no_images_in_folder" if folder.strip() else "nothing_to_add"
            return {self.verdicts: render_note(translate(language, reason), "bad")}
        verdicts: list[Added] = []
        stage_seconds: dict[str, float] = {}
        unit = translate(language, "images_unit")
        progress((0, len(images)), desc=translate(language, "adding"), unit=unit)
        start = time.perf_counter()
        for verdict in self.context.search.add_many(images, stage_seconds, bool(skip)):
            verdicts.append(verdict)
            rate = len(verdicts) / (time.perf_counter() - start)
            text = describe_progress(rate, stage_seconds, language)
            progress((len(verdicts), len(images)), desc=text, unit=unit)
        return {
            self.verdicts: self.render_table(verdicts, language),
            **self._keep_failed([str(path) for path, _ in uploads], lines, folder, key, verdicts),
            self.context.gallery_changed: time.time_ns(),
        }

    def _keep_failed(
        self, paths: list[str], urls: list[str], folder: str, key: str, verdicts: list[Added]
    ) -> Updates:
        """Clear the inputs but for those of which an image failed. verdicts: in their order."""
        failed = [verdict.status == "failed" for verdict in verdicts]
        of_folder = failed[len(paths) + len(urls) :]
        return {
            self.files: list(compress(paths, failed)) or None,
            self.urls: "\n".join(compress(urls, failed[len(paths) :])),
            self.folder: folder if any(of_folder) else "",
            self.key: key if any(failed) else "",
        }

    def _list_files(self, files: list[tuple[Path, str]], key: str | None) -> list[NewImage]:
        max_bytes = self.context.sources.max_bytes
        return [
            NewImage(partial(read_file, path, max_bytes, open_without_links), key=key, origin=name)
            for path, name in files
        ]

    def _list_urls(self, urls: list[str], key: str | None) -> list[NewImage]:
        read = self.context.sources.from_url
        return [NewImage(partial(read, url), key=key, origin=url) for url in urls]

    def _list_folder(self, folder: str, key: str | None) -> list[NewImage]:
        if not folder:
            return []
        sources = self.context.sources
        try:
            paths = find_images([sources.resolve(folder)])
        except FileNotFoundError as error:
            raise FileMissing(f"There is no file or folder {folder!r}.") from error
        # `from_path` checks each file again: one in the folder may be a link to another folder.
        return [
            NewImage(partial(sources.from_path, str(path)), key=key, origin=str(path))
            for path in paths
            if not sources.is_private(path)
        ]

    def render_table(self, verdicts: list[Added], language: Language) -> str:
        """The results as HTML: counts by status, then at most MAX_ROWS rows, failures first."""
        counts = Counter(verdict.status for verdict in verdicts)
        summary = " ".join(
            f"{render_badge(status, language)} {counts[status]:,}"
            for status in BADGES
            if counts[status]
        )
        summary = f'<span id="add-summary">{summary}</span>'
        shown = sorted(verdicts, key=lambda verdict: verdict.status != "failed")[:MAX_ROWS]
        hint = translate(language, "rows_shown", shown=len(shown), total=f"{len(verdicts):,}")
        head = "".join(f"<th>{escape(translate(language, column))}</th>" for column in COLUMNS)
        rows = "".join(self._render_row(verdict, language) for verdict in shown)
        return (
            render_note(summary, "bad" if counts["failed"] else "good")
            + (render_note(escape(hint)) if len(shown) < len(verdicts) else "")
            + '<div class="bogv-scroll"><table class="bogv-verdicts">'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _render_row(self, verdict: Added, language: Language) -> str:
        picture, shown = "", verdict.id
        if shown is None and verdict.near_duplicate_of is not None:
            shown = verdict.near_duplicate_of.id
        if shown is not None:
            source = data_url(read_thumbnail(self.context.search, shown))
            picture = f'<img src="{source}" alt="">'
        cells = (
            ("picture", picture),
            ("verdict", render_badge(verdict.status, language)),
            ("key", escape(verdict.key or "")),
            ("id", str(verdict.id or "")),
            ("filepath", escape(verdict.filepath)),
            ("reason", _render_reason(verdict, language)),
        )
        return f"<tr>{''.join(f'<td class=bogv-{name}>{html}</td>' for name, html in cells)}</tr>"


def describe_progress(rate: float, stage_seconds: Mapping[str, float], language: Language) -> str:
    """A sentence with the rate, in images per second, and the stage that took the most time."""
    slowest = max(stage_seconds, key=stage_seconds.__getitem__)
    return translate(
        language, "adding_at", rate=f"{rate:.1f}", stage=translate(language, STAGES[slowest])
    )


def render_badge(status: Status, language: Language) -> str:
    """A status as a coloured badge, in HTML."""
    return f'<span class="bogv-badge bogv-{status}">{escape(translate(language, status))}</span>'


def _render_reason(verdict: Added, language: Language) -> str:
    if verdict.error is not None:
        return explain(verdict.error, language)
    if (other := verdict.near_duplicate_of) is not None:
        key = "reason_skipped" if verdict.status == "skipped" else "reason_duplicate"
        match = describe_match(other.match, language)
        return escape(translate(language, key, other=other.key, match=match))
    keys = {"unchanged": "reason_unchanged", "updated": "reason_updated"}
    reason = keys.get(verdict.status)
    return escape(translate(language, reason)) if reason else ""
