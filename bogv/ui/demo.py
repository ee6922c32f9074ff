"""The web demo: four tabs over the service, in English and Chinese."""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware import Middleware

from bogv.config import Settings
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.add import AddTab
from bogv.ui.components import (
    PRIVATE,
    Shared,
    Updates,
    i18n,
    label,
    report_errors,
    request_language,
)
from bogv.ui.delete import DeleteTab
from bogv.ui.endpoints import add_endpoints
from bogv.ui.files import SignedFileNames, VisitorBlocks, VisitorFiles
from bogv.ui.gallery import GalleryTab
from bogv.ui.middleware import GradioAccess
from bogv.ui.search import SearchTab
from bogv.ui.strings import LOGIN_PROMPT, STRINGS, Language, translate, translate_count
from bogv.ui.theme import theme
from bogv.ui.uploads import install
from bogv.web.access import AccessControl
from bogv.web.headers import ContentSecurityPolicy

HERE = Path(__file__).parent
HOUR = 3600  # seconds
QUEUE = 256  # events that wait; a page has half a dozen when it opens
# Visitors whose place in the demo is remembered, those seen last. Gradio forgets none of its own
# accord, calls of its API among them, and keeps 170 kB for each: by default, for 10,000.
SESSIONS = 256


def mount_demo(
    settings: Settings, search: ImageSearch, sources: Sources, access: AccessControl | None = None
) -> FastAPI:
    """An app that serves the demo at /. door: the API's as well; by default one of its own.

    With a token, it asks for a login first: any user name, the token as password.
    """
    access = access or AccessControl.from_settings(settings)
    # What is uploaded lies with the rest of the data, not in a /tmp that others share.
    uploads = (settings.cache_dir / "gradio").resolve()
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    install()
    names = SignedFileNames(uploads)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    # Without a word on this, gradio lets the scripts of any other site read its answers.
    app.add_middleware(CORSMiddleware)
    gr.mount_gradio_app(
        app,
        build_demo(search, sources, settings.samples_dir, names),
        path="/",
        auth=_login(access.token) if access.token else None,
        auth_message=LOGIN_PROMPT,
        max_file_size=settings.max_upload,
        show_error=False,  # errors made for users are shown all the same
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        i18n=i18n,
        theme=theme(),
        css_paths=HERE / "style.css",
        favicon_path=str(HERE / "favicon.svg"),
    )
    gradio: Any = getattr(app.routes[-1], "app")  # noqa: B009 - mounts have one, routes none
    # Inside of what compresses. Gradio makes functions of the texts that an HTML component and
    # the `js` of an event are.
    gradio.user_middleware.append(Middleware(ContentSecurityPolicy, also="'unsafe-eval'"))
    app.add_middleware(VisitorFiles, names=names, max_bytes=settings.max_upload)
    app.add_middleware(GradioAccess, access=access, gradio=gradio, max_upload=settings.max_upload)
    return app


def build_demo(
    search: ImageSearch, sources: Sources, samples_dir: Path, names: SignedFileNames
) -> VisitorBlocks:
    """The page."""
    demo = VisitorBlocks(
        title="bogv", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR), fill_width=True
    )
    demo.names = names
    with demo:
        add_endpoints(search)  # first: the screens' handlers of the same names yield to them
        header = gr.HTML(elem_id="bogv-header", padding=False)
        changed = gr.State(0)
        with gr.Tabs(elem_id="tabs") as tabs:
            shared = Shared(search, sources, samples_dir, tabs, changed)
            with gr.Tab(label("tab_search"), id="search"):
                searching = SearchTab(shared)
            with gr.Tab(label("tab_add"), id="add"):
                adding = AddTab(shared)
            with gr.Tab(label("tab_delete"), id="delete"):
                deleting = DeleteTab(shared)
            with gr.Tab(label("tab_gallery"), id="gallery") as gallery_tab:
                looking = GalleryTab(shared)

        @report_errors
        def head(request: gr.Request) -> str:
            return header_html(search, request_language(request))

        demo.load(head, None, header, show_progress="hidden", **PRIVATE)
        changed.change(head, None, header, show_progress="hidden", **PRIVATE)
        _open(demo, searching.open, [searching.status, searching.examples])
        _open(demo, adding.open, [adding.verdicts])
        _open(demo, deleting.open, deleting.outputs)
        gallery_tab.select(
            looking.same,
            [looking.position, looking.text, looking.size, looking.picked],
            [*looking.outputs, *looking.panel.outputs],
            **PRIVATE,
        )
        _join(shared, searching, deleting, looking)
    demo.state_session_capacity = SESSIONS
    demo.queue(default_concurrency_limit=8, max_size=QUEUE, api_open=False)
    # Gradio looks for work a thousand times a second, a seventh of a core's time for as long as
    # the server runs; its searches and everyone's wait for it.
    demo._queue.sleep_when_free = 0.02  # seconds
    # After each event it makes statistics of the last 10,000, for a page that is turned off.
    demo._queue.ANAYLTICS_CACHE_FREQUENCY = sys.maxsize
    demo._queue.ANALYTICS_MAX_EVENTS = 1
    return demo


def header_html(search: ImageSearch, language: Language) -> str:
    """Name, count, database, engine and weights; a banner while the weights are untrained."""
    stats = search.stats()
    named = f"weights_{stats.weights}"
    weights = translate(language, named) if named in STRINGS else stats.weights
    facts: Iterable[tuple[str, str]] = (
        ("database", stats.database),
        ("engine", stats.engine),
        ("weights", weights),
    )
    chips = "".join(
        f'<span class="bogv-fact">{translate(language, word)} <b>{escape(value)}</b></span>'
        for word, value in facts
    )
    banner = ""
    if stats.weights == "untrained":
        title, text = translate(language, "untrained_title"), translate(language, "untrained")
        banner = f'<div class="bogv-banner" role="note"><b>{title}</b> {text}</div>'
    return (
        f'<div class="bogv-head"><h1>bogv</h1>'
        f'<span class="bogv-tagline">{translate(language, "tagline")}</span>'
        f'<span class="bogv-fact" id="image-count" data-count="{stats.count}">'
        f"<b>{translate_count(language, 'images', stats.count)}</b></span>{chips}</div>{banner}"
    )


def _open(demo: gr.Blocks, handler: Callable[..., Updates], outputs: list[Any]) -> None:
    demo.load(handler, None, outputs, show_progress="hidden", **PRIVATE)


def _join(shared: Shared, searching: SearchTab, deleting: DeleteTab, looking: GalleryTab) -> None:
    """What leads from one tab to another."""

    def to(tab: str) -> gr.Tabs:
        return gr.Tabs(selected=tab)

    @report_errors
    def preview(ids: list[int], request: gr.Request) -> Updates:
        names = ", ".join(map(str, ids))
        records = shared.search.get(ids)
        there = {record.id for record in records}
        missing = [str(each) for each in ids if each not in there]
        return {
            deleting.text: names,
            deleting.by: "ids",
            **deleting.show_preview(records, missing, request_language(request)),
        }

    looking.panel.similar.click(lambda: to("search"), None, shared.tabs, **PRIVATE).then(
        searching.by_record,
        [looking.panel.id, searching.limit, searching.min_score],
        [searching.image, *searching.results],
        **PRIVATE,
    )
    looking.delete.click(lambda: to("delete"), None, shared.tabs, **PRIVATE).then(
        preview, looking.picked, [deleting.text, deleting.by, *deleting.outputs], **PRIVATE
    )
    deleting.pick.click(
        lambda: (to("gallery"), True), None, [shared.tabs, looking.several], **PRIVATE
    )


def _login(token: str) -> Callable[[str, str], bool]:
    def allowed(_user: str, password: str) -> bool:
        return hmac.compare_digest(password.encode(), token.encode())

    return allowed
