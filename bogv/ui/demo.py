"""Builds the Gradio demo, its tabs in English and Chinese, and mounts it in an ASGI app."""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware import Middleware

from bogv.config import Settings
from bogv.duplicates.duplicates import Duplicates
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.add import AddTab
from bogv.ui.calibration.words import describe_shortfall, describe_thresholds
from bogv.ui.components import (
    PRIVATE,
    TabContext,
    Updates,
    i18n,
    label,
    report_errors,
    request_language,
)
from bogv.ui.delete import DeleteTab
from bogv.ui.duplicates.tab import DuplicatesTab
from bogv.ui.endpoints import add_endpoints
from bogv.ui.files import SignedFileNames, VisitorBlocks, VisitorFiles
from bogv.ui.gallery import GalleryTab
from bogv.ui.judge import JudgeTab
from bogv.ui.middleware import GradioAccess
from bogv.ui.search import SearchTab
from bogv.ui.strings import LOGIN_PROMPT, STRINGS, Language, translate, translate_count
from bogv.ui.theme import build_theme
from bogv.ui.uploads import patch_gradio
from bogv.web.access import AccessControl
from bogv.web.headers import ContentSecurityPolicy

ASSETS = Path(__file__).parent
HOUR = 3600  # seconds
MAX_QUEUED_EVENTS = 256  # a page triggers about six when it is loaded
# Sessions whose state gradio keeps; the least recently used one is dropped. Each takes 170 kB, API
# calls create one, too, and none expires; gradio's default is 10,000.
MAX_SESSIONS = 256


def mount_demo(
    settings: Settings, search: ImageSearch, sources: Sources, access: AccessControl | None = None
) -> FastAPI:
    """An app that serves the demo at /.

    access: pass the API's, so that both share rate limits and login attempts; by default a new one.
    With a token, visitors log in first, with any user name and the token as the password.
    """
    access = access or AccessControl.from_settings(settings)
    # In the data folder: gradio's default is in /tmp, which other users of the machine can read.
    uploads = (settings.cache_dir / "gradio").resolve()
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    patch_gradio()
    names = SignedFileNames(uploads)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Allows no origin. Without a CORS middleware in the app, gradio adds one that allows them all.
    app.add_middleware(CORSMiddleware)
    gr.mount_gradio_app(
        app,
        build_demo(
            search,
            sources,
            settings.samples_dir,
            names,
            search.duplicates(settings.duplicates_dir),
            settings.judge_dir if settings.judge else None,
        ),
        path="/",
        auth=_build_login_check(access.token) if access.token else None,
        auth_message=LOGIN_PROMPT,
        max_file_size=settings.max_upload,
        show_error=False,  # of unexpected errors; `gr.Error` is shown anyway
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        i18n=i18n,
        theme=build_theme(),
        css_paths=ASSETS / "style.css",
        js=(ASSETS / "page.js").read_text("utf-8"),
        favicon_path=str(ASSETS / "favicon.svg"),
    )
    gradio: Any = getattr(app.routes[-1], "app")  # noqa: B009 - only some types of route have one
    # Appended, so that it runs inside the compression. 'unsafe-eval': gradio compiles the templates
    # of HTML components and the `js` of events in the browser.
    gradio.user_middleware.append(Middleware(ContentSecurityPolicy, also="'unsafe-eval'"))
    app.add_middleware(VisitorFiles, names=names, max_bytes=settings.max_upload)
    app.add_middleware(GradioAccess, access=access, gradio=gradio, max_upload=settings.max_upload)
    return app


def build_demo(
    search: ImageSearch,
    sources: Sources,
    samples_dir: Path,
    names: SignedFileNames,
    duplicates: Duplicates,
    judge_dir: Path | None = None,
) -> VisitorBlocks:
    """The page with its tabs, events and named endpoints.

    judge_dir: the folder of the pools to judge; None: without the Judge tab.
    """
    demo = VisitorBlocks(
        title="bogv", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR), fill_width=True
    )
    demo.names = names
    with demo:
        # First, to get their names: handlers of the same name in the tabs get a suffix.
        add_endpoints(search)
        header = gr.HTML(elem_id="bogv-header", padding=False)
        gallery_changed = gr.State(0)
        with gr.Tabs(elem_id="tabs") as tabs:
            context = TabContext(search, sources, samples_dir, tabs, gallery_changed)
            with gr.Tab(label("tab_search"), id="search"):
                search_tab = SearchTab(context)
            with gr.Tab(label("tab_add"), id="add"):
                add_tab = AddTab(context)
            with gr.Tab(label("tab_delete"), id="delete"):
                delete_tab = DeleteTab(context)
            with gr.Tab(label("tab_gallery"), id="gallery") as gallery:
                gallery_tab = GalleryTab(context)
            with gr.Tab(label("tab_duplicates"), id="duplicates"):
                duplicates_tab = DuplicatesTab(context, duplicates)
            if judge_dir is not None:
                _add_judge_tab(demo, judge_dir)

        @report_errors
        def update_header(request: gr.Request) -> str:
            return render_header(search, request_language(request))

        demo.load(update_header, None, header, show_progress="hidden", **PRIVATE)
        gallery_changed.change(update_header, None, header, show_progress="hidden", **PRIVATE)
        _run_on_load(
            demo,
            search_tab.show_start,
            [search_tab.status, search_tab.examples, search_tab.min_rarity],
        )
        _run_on_load(demo, add_tab.show_start, [add_tab.verdicts])
        _run_on_load(demo, delete_tab.show_start, delete_tab.outputs)
        _run_on_load(demo, duplicates_tab.show_start, duplicates_tab.outputs)
        gallery.select(
            gallery_tab.reload_page,
            [
                gallery_tab.position,
                gallery_tab.text,
                gallery_tab.page_size,
                gallery_tab.selected_ids,
            ],
            gallery_tab.everything,
            **PRIVATE,
        )
        _connect_tabs(context, search_tab, delete_tab, gallery_tab)
    demo.state_session_capacity = MAX_SESSIONS
    demo.queue(default_concurrency_limit=8, max_size=MAX_QUEUED_EVENTS, api_open=False)
    # By default, gradio polls its queue every millisecond, which takes a seventh of a core.
    demo._queue.sleep_when_free = 0.02  # seconds
    # After each event it makes statistics of the last 10,000, for a page that is turned off.
    demo._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
    demo._queue.ANALYTICS_MAX_EVENTS = 1
    return demo


def render_header(search: ImageSearch, language: Language) -> str:
    """Name, count, database, engine and weights as HTML; query expansion, if it is on; while images
    are being hashed, how many are; the gallery's calibration, if it has one; a banner if the
    weights are untrained."""
    stats = search.stats()
    key = f"weights_{stats.weights}"
    weights = translate(language, key) if key in STRINGS else stats.weights
    facts = [("database", stats.database), ("engine", stats.engine), ("weights", weights)]
    if stats.query_expansion:
        facts.append(("query_expansion", str(stats.query_expansion)))
    if stats.copies.missing:
        hashed = stats.count - stats.copies.missing
        facts.append(("copies", f"{hashed:,} / {stats.count:,}"))
    own = search.calibrator.calibration
    if own is not None:
        facts.append(("calibration", describe_thresholds(own, stats.count, language)))
    chips = "".join(
        f'<span class="bogv-fact">{translate(language, key)} <b>{escape(value)}</b></span>'
        for key, value in facts
    )
    note = escape(describe_shortfall(own, language)) if own is not None else ""
    banner = f'<small class="bogv-calibration">{note}</small>' if note else ""
    if stats.weights == "untrained":
        title, text = translate(language, "untrained_title"), translate(language, "untrained")
        banner += f'<div class="bogv-banner" role="note"><b>{title}</b> {text}</div>'
    return (
        f'<div class="bogv-head"><h1>bogv</h1>'
        f'<span class="bogv-tagline">{translate(language, "tagline")}</span>'
        f'<span class="bogv-fact" id="image-count" data-count="{stats.count}">'
        f"<b>{translate_count(language, 'images', stats.count)}</b></span>{chips}</div>{banner}"
    )


def _add_judge_tab(demo: gr.Blocks, folder: Path) -> None:
    with gr.Tab(label("tab_judge"), id="judge"):
        tab = JudgeTab(folder)
    _run_on_load(demo, tab.show_start, tab.outputs)
    demo.load(None, js=tab.KEYS, **PRIVATE)


def _run_on_load(demo: gr.Blocks, handler: Callable[..., Updates], outputs: list[Any]) -> None:
    demo.load(handler, None, outputs, show_progress="hidden", **PRIVATE)


def _connect_tabs(
    context: TabContext, search_tab: SearchTab, delete_tab: DeleteTab, gallery_tab: GalleryTab
) -> None:
    """Events that switch to another tab and act there."""

    def switch_to(tab: str) -> gr.Tabs:
        return gr.Tabs(selected=tab)

    @report_errors
    def preview_selected(ids: list[int], request: gr.Request) -> Updates:
        records = context.search.get(ids)
        found = {record.id for record in records}
        missing = [str(each) for each in ids if each not in found]
        return {
            delete_tab.text: ", ".join(map(str, ids)),
            delete_tab.name_kind: "ids",
            **delete_tab.show_preview(records, missing, request_language(request)),
        }

    gallery_tab.panel.similar_button.click(
        lambda: switch_to("search"), None, context.tabs, **PRIVATE
    ).then(
        search_tab.search_by_record,
        [gallery_tab.panel.id, *search_tab.options],
        [search_tab.image, *search_tab.outputs],
        **PRIVATE,
    )
    gallery_tab.delete_button.click(
        lambda: switch_to("delete"), None, context.tabs, **PRIVATE
    ).then(
        preview_selected,
        gallery_tab.selected_ids,
        [delete_tab.text, delete_tab.name_kind, *delete_tab.outputs],
        **PRIVATE,
    )
    delete_tab.select_button.click(
        lambda: (switch_to("gallery"), True),
        None,
        [context.tabs, gallery_tab.select_multiple],
        **PRIVATE,
    )


def _build_login_check(token: str) -> Callable[[str, str], bool]:
    def is_allowed(_user: str, password: str) -> bool:
        return hmac.compare_digest(password.encode(), token.encode())

    return is_allowed
