"""The Duplicates tab: scans, shows groups side by side, deletes all but one of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import gradio as gr

from bogv.duplicates.duplicates import KINDS, RULES, DuplicateKind, Duplicates, Group, Rule, Stage
from bogv.errors import InvalidValue
from bogv.ui.components import (
    PRIVATE,
    TabContext,
    Updates,
    build_gallery_items,
    build_picture_grid,
    label,
    read_thumbnail,
    render_note,
    report_errors,
    request_language,
)
from bogv.ui.duplicates.cards import (
    CHOICES,
    MAX_PREVIEWED,
    Choice,
    render_group,
    render_place,
    render_result,
    render_summary,
)
from bogv.ui.strings import Language, translate, translate_count

PAGE = 5
"""Groups on a page."""


@dataclass(frozen=True)
class View:
    """What a visitor sees: the groups of the last scan, and what is kept of each."""

    groups: tuple[Group, ...] = ()
    page: int = 0
    rule: Rule = "largest"
    choices: dict[int, Choice] = field(default_factory=dict)
    """Of the groups with a rule of their own, by `_name`."""

    @property
    def pages(self) -> int:
        """How many there are, at least one."""
        return max(-(-len(self.groups) // PAGE), 1)

    @property
    def shown(self) -> tuple[Group, ...]:
        """The groups on this page."""
        return self.groups[self.page * PAGE : (self.page + 1) * PAGE]

    def choice(self, group: Group) -> Choice:
        """What is kept of a group."""
        return self.choices.get(_name(group), self.rule)

    def without(self, ids: set[int]) -> View:
        """Without these images, and without groups of which fewer than two are left."""
        left = [
            replace(each, images=tuple(i for i in each.images if i.id not in ids))
            for each in self.groups
        ]
        return self.at(self.page, tuple(each for each in left if len(each.images) > 1))

    def at(self, page: int, groups: tuple[Group, ...] | None = None) -> View:
        """Another page, the nearest that exists."""
        view = self if groups is None else replace(self, groups=groups)
        return replace(view, page=min(max(page, 0), view.pages - 1))


@dataclass(frozen=True)
class Removal:
    """What is previewed, and what is deleted: exactly these images, while those kept are there."""

    ids: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


class DuplicatesTab:
    """Controls at the top, the preview below them, then the groups of one page."""

    def __init__(self, context: TabContext, finder: Duplicates) -> None:
        self.context = context
        self.finder = finder
        self.view = gr.State(View())
        self.removal = gr.State(Removal())
        self._build_controls()
        self.status = gr.HTML(elem_id="duplicates-status", padding=False)
        self._build_preview()
        self.slots = [_Slot(place) for place in range(PAGE)]
        with gr.Row(elem_classes="bogv-pages", visible=False) as self.pager:
            self.previous_button = gr.Button(
                label("duplicates_previous"), elem_id="duplicates-previous", size="sm"
            )
            self.next_button = gr.Button(
                label("duplicates_next"), elem_id="duplicates-next", size="sm"
            )
        self.preview_outputs = [
            self.removal, self.preview, self.summary, self.gallery,
            self.delete_button, self.confirmation,
        ]  # fmt: skip
        slots = [component for slot in self.slots for component in slot.outputs]
        self.outputs = [
            self.view, self.status, self.page_button, self.all_button, self.pager,
            self.previous_button, self.next_button, *slots, *self.preview_outputs,
        ]  # fmt: skip
        self._connect_events()

    def _build_controls(self) -> None:
        with gr.Row(elem_classes="bogv-controls"):
            self.match = gr.Radio(
                [(label(f"find_{kind}"), kind) for kind in KINDS],
                value="copy",
                label=label("duplicates_match"),
                elem_id="duplicates-match",
                min_width=260,
                scale=3,
            )
            self.rule = gr.Radio(
                [(label(f"keep_{rule}"), rule) for rule in RULES],
                value=RULES[0],
                label=label("keep"),
                elem_id="duplicates-rule",
                min_width=260,
                scale=2,
            )
        with gr.Row(elem_classes="bogv-actions"):
            self.scan_button = gr.Button(
                label("scan"), variant="primary", elem_id="duplicates-scan", min_width=120
            )
            self.stop_button = gr.Button(
                label("stop_scan"), elem_id="duplicates-stop", min_width=120
            )
            self.page_button = gr.Button(
                label("preview_page"), visible=False, elem_id="preview-page", min_width=120
            )
            self.all_button = gr.Button(
                label("preview_all"), visible=False, elem_id="preview-all", min_width=120
            )

    def _build_preview(self) -> None:
        with gr.Column(visible=False, elem_classes="bogv-removal") as self.preview:
            self.summary = gr.HTML(elem_id="duplicates-summary", padding=False)
            self.gallery = build_picture_grid("images_to_delete", "duplicates-preview", columns=8)
            self.delete_button = gr.Button("", variant="stop", elem_id="duplicates-delete")
            with gr.Column(visible=False, elem_classes="bogv-confirm") as self.confirmation:
                gr.Markdown(label("confirm"))
                with gr.Row():
                    self.confirm_button = gr.Button(
                        label("confirm_yes"), variant="stop", elem_id="duplicates-yes"
                    )
                    self.cancel_button = gr.Button(label("cancel"), elem_id="duplicates-no")

    def _connect_events(self) -> None:
        self.scan_button.click(
            self.scan,
            [self.match, self.view],
            self.outputs,
            show_progress_on=self.status,
            **PRIVATE,
        )
        self.stop_button.click(self.stop, None, None, **PRIVATE)
        for component, handler in (
            (self.previous_button, self.show_previous),
            (self.next_button, self.show_next),
        ):
            component.click(handler, self.view, self.outputs, **PRIVATE)
        self.rule.input(self.choose_rule, [self.rule, self.view], self.outputs, **PRIVATE)
        for slot in self.slots:
            slot.choice.input(
                self._handle_choice(slot.place), [slot.choice, self.view], self.outputs, **PRIVATE
            )
            slot.different.click(
                self._handle_different(slot.place), self.view, self.outputs, **PRIVATE
            )
        self.page_button.click(self.preview_page, self.view, self.preview_outputs, **PRIVATE)
        self.all_button.click(self.preview_all, self.view, self.preview_outputs, **PRIVATE)
        self.delete_button.click(
            lambda: gr.Column(visible=True), None, self.confirmation, **PRIVATE
        )
        self.cancel_button.click(
            lambda: gr.Column(visible=False), None, self.confirmation, **PRIVATE
        )
        self.confirm_button.click(
            self.delete_previewed,
            [self.removal, self.view],
            [self.context.gallery_changed, *self.outputs],
            **PRIVATE,
        )

    def _handle_choice(self, place: int) -> Callable[..., Updates]:
        def choose(choice: Choice, view: View, request: gr.Request) -> Updates:
            return self.choose(place, choice, view, request)

        return choose  # gradio recognizes a request by its annotation, not in a partial

    def _handle_different(self, place: int) -> Callable[..., Updates]:
        def mark(view: View, request: gr.Request) -> Updates:
            return self.mark_different(place, view, request)

        return mark

    # Handlers: the scan

    @report_errors
    def show_start(self, request: gr.Request) -> Updates:
        """Show the instructions."""
        language = request_language(request)
        return self._show(View(), render_note(translate(language, "duplicates_start")), language)

    @report_errors
    def scan(
        self,
        match: DuplicateKind,
        view: View,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio injects it by this default
    ) -> Updates:
        """Scan the gallery, and show the first page of groups."""
        language = request_language(request)

        def report(stage: Stage, done: int, total: int) -> None:
            percent = 100 * done // total if total else 100
            progress((percent, 100), desc=translate(language, f"scan_{stage}"), unit="%")

        found = self.finder.scan(match, report)
        new_view = View(found.groups, rule=view.rule)
        return self._show(new_view, render_result(found, language), language)

    @report_errors
    def stop(self, request: gr.Request) -> None:
        """Cancel the scan; the handler of `scan` then shows what was found."""
        self.finder.cancel()
        gr.Info(translate(request_language(request), "stopping"), title="bogv", duration=3)

    # Handlers: the groups

    @report_errors
    def show_previous(self, view: View, request: gr.Request) -> Updates:
        """Show the page before; the first one stays where it is."""
        return self._show(view.at(view.page - 1), None, request_language(request))

    @report_errors
    def show_next(self, view: View, request: gr.Request) -> Updates:
        """Show the page after; the last one stays where it is."""
        return self._show(view.at(view.page + 1), None, request_language(request))

    @report_errors
    def choose_rule(self, rule: Rule, view: View, request: gr.Request) -> Updates:
        """Keep by this rule, also of the groups that had one of their own."""
        if rule not in RULES:
            raise InvalidValue("There is no such rule.")
        return self._show(replace(view, rule=rule, choices={}), None, request_language(request))

    @report_errors
    def choose(self, place: int, choice: Choice, view: View, request: gr.Request) -> Updates:
        """Keep by this rule of one group. place: on the page."""
        if choice not in CHOICES or place >= len(view.shown):
            raise InvalidValue("There is no such rule, or no such group.")
        choices = {**view.choices, _name(view.shown[place]): choice}
        return self._show(replace(view, choices=choices), None, request_language(request))

    @report_errors
    def mark_different(self, place: int, view: View, request: gr.Request) -> Updates:
        """Remember that a group's images are different, and show it no more."""
        if place >= len(view.shown):
            raise InvalidValue("There is no such group.")
        group = view.shown[place]
        self.finder.mark_different(group)
        language = request_language(request)
        note = render_note(translate(language, "marked_different"), "good")
        return self._show(view.without({each.id for each in group.images}), note, language)

    # Handlers: deleting

    @report_errors
    def preview_page(self, view: View, request: gr.Request) -> Updates:
        """Show what would be deleted of the groups on this page."""
        return self._preview(view, view.shown, request_language(request))

    @report_errors
    def preview_all(self, view: View, request: gr.Request) -> Updates:
        """Show what would be deleted of all groups."""
        return self._preview(view, view.groups, request_language(request))

    @report_errors
    def delete_previewed(self, removal: Removal, view: View, request: gr.Request) -> Updates:
        """Delete the previewed images, and show how many there were."""
        language = request_language(request)
        deleted = self.context.search.delete_duplicates(removal.ids, removal.kept)
        note = render_note(translate_count(language, "deleted", deleted), "good")
        return {
            self.context.gallery_changed: time.time_ns(),
            **self._show(view.without(set(removal.ids)), note, language),
        }

    def _preview(self, view: View, groups: tuple[Group, ...], language: Language) -> Updates:
        chosen = [(each, choice) for each in groups if (choice := view.choice(each)) != "all"]
        others = [image for group, rule in chosen for image in group.others(rule)]
        kept = [group.kept(rule).id for group, rule in chosen]
        shown = others[:MAX_PREVIEWED]
        items = build_gallery_items(self.context.search, shown, [each.key for each in shown])
        button = translate_count(language, "delete_count", len(others))
        return {
            self.removal: Removal(tuple(each.id for each in others), tuple(kept)),
            self.preview: gr.Column(visible=True),
            self.summary: render_summary(others, len(kept), language),
            self.gallery: gr.Gallery(value=items, visible=bool(items), selected_index=None),
            self.delete_button: gr.Button(button, visible=bool(others)),
            self.confirmation: gr.Column(visible=False),
        }

    # Shared by the handlers

    def _show(self, view: View, status: str | None, language: Language) -> Updates:
        """A page of groups, without a preview. status: HTML; None: the place among the pages."""
        updates: Updates = {
            self.view: view,
            self.status: status or render_place(view.page, view.pages, len(view.groups), language),
            self.page_button: gr.Button(visible=view.pages > 1),
            self.all_button: gr.Button(visible=bool(view.groups)),
            self.pager: gr.Row(visible=view.pages > 1),
            self.previous_button: gr.Button(interactive=view.page > 0),
            self.next_button: gr.Button(interactive=view.page + 1 < view.pages),
            self.removal: Removal(),
            self.preview: gr.Column(visible=False),
            self.gallery: gr.Gallery(value=[], selected_index=None),
            self.confirmation: gr.Column(visible=False),
        }
        read = partial(read_thumbnail, self.context.search)
        for slot in self.slots:
            group = view.shown[slot.place] if slot.place < len(view.shown) else None
            updates |= slot.show(group, view, read, language)
        return updates


class _Slot:
    """The components of one group on the page."""

    def __init__(self, place: int) -> None:
        self.place = place
        with gr.Column(visible=False, elem_classes="bogv-group") as self.column:
            self.card = gr.HTML(elem_id=f"group-{place}", padding=False)
            with gr.Row(elem_classes="bogv-actions"):
                self.choice = gr.Radio(
                    [(label(f"keep_{choice}"), choice) for choice in CHOICES],
                    show_label=False,
                    container=False,
                    elem_id=f"group-keep-{place}",
                    min_width=260,
                )
                self.different = gr.Button(
                    label("different"), size="sm", elem_id=f"group-different-{place}", min_width=150
                )
        self.outputs = [self.column, self.card, self.choice]

    def show(
        self, group: Group | None, view: View, read: Callable[[int], bytes], language: Language
    ) -> Updates:
        """Show a group, or nothing. read: gives a thumbnail."""
        if group is None:
            return {self.column: gr.Column(visible=False), self.card: "", self.choice: None}
        choice = view.choice(group)
        return {
            self.column: gr.Column(visible=True),
            self.card: render_group(group, choice, read, language),
            self.choice: choice,
        }


def _name(group: Group) -> int:
    """What tells a group from the others: the smallest of its ids."""
    return min(each.id for each in group.images)
