"""The Add tab: files, URLs or a server folder into the gallery, a verdict for each image."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from html import escape
from typing import Any

import gradio as gr

from bogv.errors import FileMissing
from bogv.records import Added, NewImage, Status
from bogv.sources.folders import find_images
from bogv.sources.paths import open_without_links, read_file
from bogv.ui.components import (
    PRIVATE,
    Shared,
    Updates,
    data_url,
    explain,
    label,
    note,
    report_errors,
    request_language,
    thumbnail,
    uploaded_file,
)
from bogv.ui.strings import Language, translate

SHOWN = 200
COLUMNS = ("picture", "verdict", "key", "id", "filepath", "reason")


class AddTab:
    """Three ways in on the left, the verdicts on the right."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        with gr.Row(elem_classes="bogv-columns"):
            with gr.Column(scale=2, min_width=260, elem_classes="bogv-inputs"):
                self._inputs()
            with gr.Column(scale=5, min_width=320, elem_classes="bogv-results"):
                self.verdicts = gr.HTML(elem_id="verdicts", min_height=120, padding=False)
        inputs = [self.files, self.urls, self.folder, self.key]
        outputs = [self.verdicts, *inputs, shared.changed]
        self.button.click(
            self.add,
            inputs,
            outputs,
            preprocess=False,
            concurrency_limit=2,
            show_progress_on=self.verdicts,
            **PRIVATE,
        )

    def _inputs(self) -> None:
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
        self.button = gr.Button(label("add"), variant="primary", elem_id="add-button")

    @report_errors
    def open(self, request: gr.Request) -> Updates:
        """When the page is loaded: what to do."""
        return {self.verdicts: note(translate(request_language(request), "add_start"))}

    @report_errors
    def add(
        self,
        files: list[dict[str, Any]] | None,
        urls: str,
        folder: str,
        key: str,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - how gradio hands it over
    ) -> Updates:
        """Add whatever was given, and tell what became of each."""
        language = request_language(request)
        images = [
            *self._from_files(files or [], key.strip() or None),
            *self._from_urls(urls, key.strip() or None),
            *self._from_folder(folder.strip(), key.strip() or None),
        ]
        if not images:
            words = "no_images_there" if folder.strip() else "nothing_to_add"
            return {self.verdicts: note(translate(language, words), "bad")}
        verdicts: list[Added] = []
        spent: dict[str, float] = {}
        unit = translate(language, "images_unit")
        progress((0, len(images)), desc=translate(language, "adding"), unit=unit)
        start = time.perf_counter()
        for verdict in self.shared.search.add_many(images, spent):
            verdicts.append(verdict)
            rate = len(verdicts) / (time.perf_counter() - start)
            progress((len(verdicts), len(images)), desc=pace(rate, spent, language), unit=unit)
        return {
            self.verdicts: self.table(verdicts, language),
            self.files: None,
            self.urls: "",
            self.folder: "",
            self.key: "",
            self.shared.changed: time.time_ns(),
        }

    def _from_files(self, files: list[dict[str, Any]], key: str | None) -> list[NewImage]:
        limit = self.shared.sources.max_bytes
        named = map(uploaded_file, files)
        return [
            NewImage(partial(read_file, path, limit, open_without_links), key=key, origin=name)
            for path, name in named
        ]

    def _from_urls(self, urls: str, key: str | None) -> list[NewImage]:
        sources = self.shared.sources
        lines = [line.strip() for line in urls.splitlines() if line.strip()]
        return [NewImage(partial(sources.from_url, url), key=key, origin=url) for url in lines]

    def _from_folder(self, folder: str, key: str | None) -> list[NewImage]:
        if not folder:
            return []
        sources = self.shared.sources
        try:
            paths = find_images([sources.resolve(folder)])
        except FileNotFoundError as error:
            raise FileMissing(f"There is no file or folder {folder!r}.") from error
        # Each file through the fence again: one below the folder can be a link that leads out.
        return [
            NewImage(partial(sources.from_path, str(path)), key=key, origin=str(path))
            for path in paths
            if not sources.is_private(path)
        ]

    def table(self, verdicts: list[Added], language: Language) -> str:
        """The verdicts as HTML, counted; those that failed first, at most SHOWN."""
        counts = Counter(verdict.status for verdict in verdicts)
        summary = " ".join(
            f"{badge(status, language)} {counts[status]:,}" for status in BADGES if counts[status]
        )
        shown = sorted(verdicts, key=lambda verdict: verdict.status != "failed")[:SHOWN]
        cut = translate(language, "cut", shown=len(shown), total=f"{len(verdicts):,}")
        head = "".join(f"<th>{escape(translate(language, column))}</th>" for column in COLUMNS)
        rows = "".join(self._row(verdict, language) for verdict in shown)
        return (
            note(f'<span id="add-summary">{summary}</span>', "bad" if counts["failed"] else "good")
            + (note(escape(cut)) if len(shown) < len(verdicts) else "")
            + '<div class="bogv-scroll"><table class="bogv-verdicts">'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _row(self, verdict: Added, language: Language) -> str:
        picture = ""
        if verdict.id is not None:
            source = data_url(thumbnail(self.shared.search, verdict.id))
            picture = f'<img src="{source}" alt="">'
        cells = (
            ("picture", picture),
            ("verdict", badge(verdict.status, language)),
            ("key", escape(verdict.key or "")),
            ("id", str(verdict.id or "")),
            ("filepath", escape(verdict.filepath)),
            ("reason", _reason(verdict, language)),
        )
        return f"<tr>{''.join(f'<td class=bogv-{name}>{html}</td>' for name, html in cells)}</tr>"


def pace(rate: float, spent: Mapping[str, float], language: Language) -> str:
    """Images a second, and what holds them back: the stage that is at work the longest."""
    slowest = max(spent, key=spent.__getitem__)
    return translate(
        language, "adding_at", rate=f"{rate:.1f}", stage=translate(language, STAGES[slowest])
    )


STAGES = {"decode": "stage_decode", "embed": "stage_embed", "write": "stage_write"}
BADGES: tuple[Status, ...] = ("created", "updated", "unchanged", "failed")


def badge(status: Status, language: Language) -> str:
    """The verdict in the user's language, coloured."""
    return f'<span class="bogv-badge bogv-{status}">{escape(translate(language, status))}</span>'


def _reason(verdict: Added, language: Language) -> str:
    if verdict.error is not None:
        return explain(verdict.error, language)
    why = {"unchanged": "why_unchanged", "updated": "why_updated"}.get(verdict.status)
    return escape(translate(language, why)) if why else ""
