"""The Judge tab: is a result relevant to its query? Shown with BOGV_JUDGE=1.

One result at a time, beside its query, from a pool on disk (`bogv.judgements`); what found it is
not shown, nor are names. Pictures are parts of the page (data URLs), so that no file is served.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from bogv.errors import InvalidValue, NotFound
from bogv.judgements import (
    NOT,
    PARTLY,
    RELEVANT,
    THUMBNAILS,
    Grade,
    Pair,
    Pool,
    PoolFolder,
    list_pools,
)
from bogv.sources.paths import open_without_links, read_file
from bogv.ui.components import (
    PRIVATE,
    Updates,
    data_url,
    label,
    render_note,
    report_errors,
    request_language,
)
from bogv.ui.strings import Language, translate

MAX_THUMBNAIL = 4 * 1024 * 1024
"""Bytes."""
GRADES: dict[str, Grade] = {
    "judge_relevant": RELEVANT,
    "judge_partly": PARTLY,
    "judge_not": NOT,
}
"""By the text of the button; the first has the key 1, and so on."""

# What is judged is the result on the screen, whatever the server would show by now: a key pressed
# twice judges one result twice, not the next one unseen.
SHOWN = "(pool, _) => [pool, Number(document.querySelector('.bogv-judge')?.dataset.place ?? -1)]"
BLUR = "() => document.activeElement?.blur()"  # else the keys would go to the list of pools


class JudgeTab:
    """The pool and the progress at the top, query and result below, then the buttons."""

    KEYS = """() => {
        if (window.bogvJudgeKeys) return;
        window.bogvJudgeKeys = true;
        const ids = {1: 'relevant', 2: 'partly', 3: 'not', Backspace: 'undo'};
        addEventListener('keydown', (event) => {
            const button = document.getElementById(`judge-${ids[event.key]}`);
            if (!button || !button.offsetParent || button.disabled || event.repeat) return;
            if (event.ctrlKey || event.metaKey || event.altKey) return;
            if (event.target.closest('input, textarea, select, [contenteditable]')) return;
            event.preventDefault();
            button.click();
        });
    }"""

    def __init__(self, folder: Path) -> None:
        """folder: of the pools."""
        self.folder = folder
        with gr.Row(elem_classes="bogv-controls"):
            self.pool = gr.Dropdown(
                [], label=label("judge_pool"), filterable=False, elem_id="judge-pool", min_width=180
            )
        self.place = gr.Number(visible=False)  # filled in by SHOWN
        self.status = gr.HTML(elem_id="judge-status", padding=False)
        self.card = gr.HTML(elem_id="judge-card", padding=False)
        with gr.Row(elem_classes="bogv-grades"):
            self.buttons = {
                name: gr.Button(
                    label(name),
                    elem_id=name.replace("_", "-"),
                    min_width=130,
                )
                for name in GRADES  # of one colour: none is suggested
            }
            self.undo_button = gr.Button(label("judge_undo"), elem_id="judge-undo", min_width=130)
        self.outputs = [self.pool, self.status, self.card, *self.buttons.values(), self.undo_button]
        self._connect_events()

    def _connect_events(self) -> None:
        # preprocess=False: a pool may have been made after the page was built.
        options: dict[str, Any] = {**PRIVATE, "preprocess": False, "show_progress": "hidden"}
        self.pool.input(self.show_pool, self.pool, self.outputs, **options).then(
            None, js=BLUR, **PRIVATE
        )
        for name, button in self.buttons.items():
            button.click(
                self._handle(GRADES[name]),
                [self.pool, self.place],
                self.outputs,
                js=SHOWN,
                **options,
            )
        self.undo_button.click(self.undo, self.pool, self.outputs, **options)

    def _handle(self, grade: Grade) -> Callable[..., Updates]:
        """A button's handler: gradio recognizes a request by its annotation, not in a partial."""

        def judge(name: object, place: object, request: gr.Request) -> Updates:
            return self.judge(grade, name, place, request)

        return judge

    # Handlers

    @report_errors
    def show_start(self, request: gr.Request) -> Updates:
        """Go on with the pool that was judged last."""
        names = list_pools(self.folder)
        language = request_language(request)
        if not names:
            return self._show_nothing(translate(language, "judge_none"))
        return self._show(names[0], None, language)

    @report_errors
    def show_pool(self, name: object, request: gr.Request) -> Updates:
        """Show the chosen pool."""
        return self._show(name, None, request_language(request))

    @report_errors
    def judge(self, grade: Grade, name: object, place: object, request: gr.Request) -> Updates:
        """Store the grade of the result on the screen, and show the next one.

        place: of the result in the pool's pairs.
        """
        folder = self._open(name)
        pairs = folder.read_pool().pairs
        if not isinstance(place, int | float) or place not in range(len(pairs)):
            raise InvalidValue("No result is shown that could be judged.")
        folder.judge(pairs[int(place)], grade)
        return self._show(name, None, request_language(request))

    @report_errors
    def undo(self, name: object, request: gr.Request) -> Updates:
        """Take the last judgement back, and show its result again."""
        return self._show(name, self._open(name).undo(), request_language(request))

    # Shared by the handlers

    def _open(self, name: object) -> PoolFolder:
        """The pool of a name, which comes from the browser. Raises NotFound."""
        if not isinstance(name, str) or name not in list_pools(self.folder):
            raise NotFound("There is no such pool.")
        return PoolFolder(self.folder / name)

    def _show(self, name: object, pair: Pair | None, language: Language) -> Updates:
        """Show a pair; None, or one that the pool doesn't have: the first without a grade."""
        folder = self._open(name)
        pool, judged = folder.read_pool(), folder.read_judgements()
        pending = [place for place, each in enumerate(pool.pairs) if each not in judged]
        if pair in pool.pairs:
            place: int | None = pool.pairs.index(pair)
        else:
            place = pending[0] if pending else None
        done = len(pool.pairs) - len(pending)
        card = "" if place is None else _render_pair(folder, pool, place, language)
        return {
            self.pool: gr.Dropdown(list_pools(self.folder), value=folder.path.name, visible=True),
            self.status: _render_progress(folder, done, len(pool.pairs), language),
            self.card: card,
            **{
                button: gr.Button(interactive=place is not None) for button in self.buttons.values()
            },
            self.undo_button: gr.Button(interactive=bool(judged)),
        }

    def _show_nothing(self, text: str) -> Updates:
        buttons = [*self.buttons.values(), self.undo_button]
        return {
            self.pool: gr.Dropdown([], value=None, visible=False),
            self.status: render_note(text),
            self.card: "",
            **{button: gr.Button(interactive=False) for button in buttons},
        }


def _render_progress(folder: PoolFolder, done: int, total: int, language: Language) -> str:
    """HTML: how many are judged and, at the end, how to score them."""
    progress = translate(language, "judge_progress", done=f"{done:,}", total=f"{total:,}")
    bar = f'<span class="bogv-progress"><i style="width: {100 * done / total:.1f}%"></i></span>'
    if done < total:
        return render_note(f"<b>{progress}</b> {translate(language, 'judge_blind')}{bar}")
    # Not the whole path: the page shows no folder of the server.
    path = shlex.quote(f"data/{folder.path.parent.name}/{folder.path.name}")
    command = f"<code>python -m eval judge score {escape(path)}</code>"
    return render_note(
        f"<b>{progress}</b> {translate(language, 'judge_done')}<br>{command}{bar}", "good"
    )


def _render_pair(folder: PoolFolder, pool: Pool, place: int, language: Language) -> str:
    """HTML: the query and the result. Its place says what a button judges: see SHOWN."""
    pair = pool.pairs[place]
    figures = "".join(
        f'<figure><img src="{data_url(_read_thumbnail(folder, pool.thumbnails[image]))}"'
        f' alt="{text}"><figcaption>{text}</figcaption></figure>'
        for image, text in (
            (pair.query, translate(language, "query")),
            (pair.image, translate(language, "judge_result")),
        )
    )
    return f'<div class="bogv-judge" data-place="{place}">{figures}</div>'


def _read_thumbnail(folder: PoolFolder, name: str) -> bytes:
    """Raises FileMissing, PathNotAllowed, TooLarge, StorageUnavailable."""
    path = folder.path.resolve() / THUMBNAILS / name
    return read_file(path, MAX_THUMBNAIL, open_without_links)
