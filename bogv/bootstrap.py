"""Settings to a running bogv: the one place where its objects are made and joined."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bogv.canary import Canary
from bogv.config import Settings
from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.weights import UNTRAINED_WARNING, resolve
from bogv.errors import BogvError, StorageUnavailable
from bogv.folder_import import import_folder
from bogv.imaging.decoder import Decoder
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3600.0  # by then every server has written the row that goes with a thumbnail


def open_search(settings: Settings) -> ImageSearch:
    """The service on the gallery that the settings name.

    Raises DatabaseUnavailable, GalleryInUse, GalleryMismatch, WeightsUnavailable,
    StorageUnavailable.
    """
    _check_data_folder(settings.data_dir)
    store = _open_store(settings)
    try:
        weights = resolve(
            settings.weights,
            begun_with=store.existing_fingerprint(),
            may_be_untrained=settings.milvus_host is None,
            precision=settings.precision,
            models=settings.models_dir,
        )
        if not weights.trained:
            log.warning(UNTRAINED_WARNING)
        decoder = Decoder(settings.max_upload, settings.max_pixels, settings.decode_seconds)
        decoder.sandbox.start()  # meanwhile the network is loaded
        return make_search(
            decoder,
            load_embedder(weights, settings.engine, settings.cache_dir, settings.precision),
            store,
            settings.thumbnails_url,
            settings.data_dir / "pending",
        )
    except BogvError:
        store.close()
        raise


def make_search(
    decoder: Decoder,
    embedder: Embedder,
    store: MilvusStore,
    thumbnails: str | Path,
    pending: Path | None = None,
) -> ImageSearch:
    """The service from its parts, which benchmarks and tests choose; `open_search` has settings.

    thumbnails: a folder or an fsspec URL. pending: the folder of the intent log; None: no log, so
    that `sweep` does nothing after a crash.
    """
    return ImageSearch(decoder, embedder, store, Thumbnails(str(thumbnails), pending))


def open_sources(settings: Settings) -> Sources:
    """What callers may name: paths below the roots, public URLs, Base64."""
    return Sources(
        settings.roots, settings.max_upload, settings.allow_private_urls, settings.private
    )


def create_app(settings: Settings, search: ImageSearch) -> FastAPI:
    """The REST API at /api and the demo at /, over one service, which is closed with the app.

    What lies in IMAGE_INC_PATH is imported once the app runs, and what a crash left is swept.
    """
    from fastapi import FastAPI

    from bogv.web.access import AccessControl
    from bogv.web.access_log import AccessLog
    from bogv.web.api import create_api
    from bogv.web.bodies import CloseUnread
    from bogv.web.headers import SecurityHeaders
    from bogv.web.lazy_app import LazyApp
    from bogv.web.proxy import RootPath, StripForwarding, TrustedProxies

    def make_demo() -> FastAPI:
        from bogv.ui.demo import mount_demo  # imports gradio, which takes seconds

        return mount_demo(settings, search, sources, access)

    demo = LazyApp(make_demo)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop = threading.Event()
        working = [
            threading.Thread(target=_import_at_start, args=(settings, search, stop)),
            threading.Thread(target=_sweep_at_start, args=(settings, search, stop)),
        ]
        for thread in working:
            thread.start()
        canary.start()
        async with demo.lifespan():
            yield
            stop.set()
        await run_in_threadpool(canary.stop)
        for thread in working:
            await run_in_threadpool(thread.join)
        search.close()

    access = AccessControl.from_settings(settings)
    sources = open_sources(settings)
    canary = Canary(search, settings.canary_seconds)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    # Before the demo, which takes every path that is left.
    app.mount("/api", create_api(settings, search, sources, access, canary))
    app.router.routes.append(Route("/api", _WithSlash(app.router)))
    app.mount("/", AccessLog(demo))
    trusted = settings.proxies
    app.add_middleware(RootPath, root_path=settings.root_path)
    app.add_middleware(StripForwarding, trusts_some=bool(trusted))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CloseUnread)
    app.add_middleware(TrustedProxies, trusted_hosts=trusted)  # the first to be asked
    return app


def serve(settings: Settings, search: ImageSearch, listeners: list[socket.socket]) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, and close."""
    import uvicorn

    from bogv.web.connections import AcceptFilter, Connections, Server, raise_file_limit

    connections = Connections.from_settings(settings, raise_file_limit())
    logging.getLogger("asyncio").addFilter(AcceptFilter())
    config = uvicorn.Config(
        create_app(settings, search),
        http=connections.protocol,
        ws="none",  # a connection that becomes one would be counted no more
        backlog=connections.backlog,
        proxy_headers=False,  # the app does it, from BOGV_TRUSTED_PROXIES
        # Of the ten seconds that Docker gives; the rest is for a batch of an import.
        timeout_graceful_shutdown=6,
        log_config=None,  # the process' own, see bogv.logs
        access_log=False,  # AccessLog writes one
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):  # raised again at the end of a server that SIGINT stopped
        server.run(sockets=listeners)
    if not server.started:
        raise SystemExit(3)  # the log says why


class _WithSlash:
    """The API answers at its root too: a mount takes no path that ends with its name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "path": f"{scope['path']}/"}, receive, send)


def _check_data_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StorageUnavailable(
            f"The data folder {folder} can't be written to: {error.strerror}."
            " Give bogv the right to, or set BOGV_DATA_DIR to another."
        ) from error


def _open_store(settings: Settings) -> MilvusStore:
    if settings.milvus_host is None:
        return MilvusStore.lite(settings.data_dir, settings.collection)
    return MilvusStore.server(
        settings.milvus_host,
        settings.milvus_port,
        settings.collection,
        user=settings.milvus_user,
        password=settings.milvus_password.get_secret_value(),
        token=settings.milvus_token.get_secret_value(),
    )


def _sweep_at_start(settings: Settings, search: ImageSearch, stop: threading.Event) -> None:
    """With Milvus Lite nobody else writes, so that nothing is too young to tell."""
    min_age = 0.0 if settings.milvus_host is None else SWEEP_SECONDS
    try:
        while search.sweep(min_age) and not stop.wait(SWEEP_SECONDS):
            pass
    except (BogvError, OSError) as error:
        log.warning("The sweep after a crash stopped, until the next start: %s", error)


def _import_at_start(settings: Settings, search: ImageSearch, stop: threading.Event) -> None:
    inc, pool = settings.image_inc_path, settings.image_pool_path
    if inc is not None:
        try:
            import_folder(search, inc, pool, stop)
        except (BogvError, OSError):
            log.exception("The import from %s stopped", inc)
