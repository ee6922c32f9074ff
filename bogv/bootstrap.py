"""The composition root: makes and connects bogv's objects from the settings."""

from __future__ import annotations

import gc
import logging
import os
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
from bogv.config import Settings, describe_unknown
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

RETRY_SECONDS = 60.0  # after which hashing goes on that the database or the disk has stopped
SWEEP_SECONDS = 3600.0  # by then, any running server has written the row of its thumbnail


def open_search(settings: Settings) -> ImageSearch:
    """Open the gallery that the settings name, and return the service on it.

    Raises DatabaseUnavailable, GalleryInUse, GalleryMismatch, WeightsUnavailable,
    StorageUnavailable.
    """
    for warning in describe_unknown(os.environ):
        log.warning("%s", warning)
    _check_data_folder(settings.data_dir)
    store = _open_store(settings)
    try:
        weights = resolve(
            settings.weights,
            gallery_fingerprint=store.existing_fingerprint(),
            allow_untrained=settings.milvus_host is None,
            precision=settings.precision,
            models=settings.models_dir,
        )
        if not weights.is_trained:
            log.warning(UNTRAINED_WARNING)
        decoder = Decoder(settings.max_upload, settings.max_pixels, settings.decode_seconds)
        decoder.sandbox.start()  # its processes start while the network is loaded
        return make_search(
            decoder,
            load_embedder(weights, settings.engine, settings.cache_dir, settings.precision),
            store,
            settings.thumbnails_url,
            settings.data_dir / "pending",
            settings.query_expansion,
            settings.calibration_dir,
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
    query_expansion: int = 0,
    calibration: Path | None = None,
) -> ImageSearch:
    """Make the service from its parts, for benchmarks and tests; see also `open_search`.

    thumbnails: a folder or an fsspec URL. pending: the folder of the intent log; None: no log, so
    `sweep` does nothing after a crash. query_expansion, calibration: as of `ImageSearch`.
    """
    return ImageSearch(
        decoder,
        embedder,
        store,
        Thumbnails(str(thumbnails), pending),
        query_expansion,
        calibration,
    )


def open_sources(settings: Settings) -> Sources:
    """Make the sources that clients may use: paths below the roots, public URLs, Base64."""
    return Sources(
        settings.roots, settings.max_upload, settings.allow_private_urls, settings.private_paths
    )


def create_app(settings: Settings, search: ImageSearch) -> FastAPI:
    """Make the app: the REST API at /api and the demo at /. It closes `search` on shutdown.

    At startup, two threads import the images in IMAGE_INC_PATH, and mend the gallery: they remove
    what a crash has left without rows, and hash the images that an older version has added. A third
    one measures how rare scores are, as the gallery grows.
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
        threads = [
            threading.Thread(target=_import_at_start, args=(settings, search, stop)),
            threading.Thread(target=_mend_at_start, args=(settings, search, stop)),
            threading.Thread(target=search.rarity.run, args=(stop,)),
        ]
        for thread in threads:
            thread.start()
        canary.start()
        async with demo.lifespan():
            yield
            stop.set()
        await run_in_threadpool(canary.stop)
        for thread in threads:
            await run_in_threadpool(thread.join)
        search.close()

    access = AccessControl.from_settings(settings)
    sources = open_sources(settings)
    canary = Canary(search, settings.canary_seconds)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    # Before the demo, which is mounted at / and matches every path.
    app.mount("/api", create_api(settings, search, sources, access, canary))
    app.router.routes.append(Route("/api", _AppendSlash(app.router)))
    app.mount("/", AccessLog(demo))
    trusted = settings.proxies
    app.add_middleware(RootPath, root_path=settings.root_path)
    app.add_middleware(StripForwarding, trusts_some=bool(trusted))
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CloseUnread)
    app.add_middleware(TrustedProxies, trusted_hosts=trusted)  # added last, so it runs first
    return app


def serve(settings: Settings, search: ImageSearch, listeners: list[socket.socket]) -> None:
    """Serve until SIGTERM or SIGINT, then shut down gracefully: finish the running requests."""
    import uvicorn

    from bogv.web.connections import (
        AcceptFilter,
        Connections,
        Server,
        ServerFilter,
        raise_file_limit,
    )

    connections = Connections.from_settings(settings, raise_file_limit())
    logging.getLogger("asyncio").addFilter(AcceptFilter())
    logging.getLogger("uvicorn.error").addFilter(ServerFilter())
    config = uvicorn.Config(
        create_app(settings, search),
        http=connections.protocol,
        ws="none",  # a WebSocket would escape the limit on connections
        backlog=connections.backlog,
        proxy_headers=False,  # TrustedProxies reads them
        # Docker kills after ten seconds; the other four are for the running batch of an import.
        timeout_graceful_shutdown=6,
        log_config=None,  # keeps the process' configuration, see bogv.logs
        access_log=False,  # AccessLog writes one
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):  # uvicorn raises SIGINT again after a graceful shutdown
        server.run(sockets=listeners)
    gc.freeze()  # otherwise, exiting collects the objects of gradio and others for a second
    if not server.started:
        raise SystemExit(3)  # uvicorn has logged the error


class _AppendSlash:
    """Serves /api as /api/, because a Starlette mount doesn't match its path without the slash."""

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
            f"The data folder {folder} isn't writable: {error.strerror}."
            " Give bogv write access to it, or set BOGV_DATA_DIR to another folder."
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


def _mend_at_start(settings: Settings, search: ImageSearch, stop: threading.Event) -> None:
    """Sweep, hash the images without a hash, and sweep again while some thumbnails are too young to
    be removed.

    With Milvus Lite no other process writes, so the age doesn't matter.
    """
    min_age = 0.0 if settings.milvus_host is None else SWEEP_SECONDS
    try:
        kept = search.sweep(min_age)
        _backfill(search, stop)
        while kept and not stop.wait(SWEEP_SECONDS):
            kept = search.sweep(min_age)
    except (BogvError, OSError) as error:
        log.warning("The sweep after a crash failed; the next start retries it: %s", error)


def _backfill(search: ImageSearch, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            search.backfill.run(stop)
        except (BogvError, OSError) as error:
            log.warning("Hashing goes on in %.0f s: %s", RETRY_SECONDS, error)
            stop.wait(RETRY_SECONDS)
        else:
            return


def _import_at_start(settings: Settings, search: ImageSearch, stop: threading.Event) -> None:
    inc, pool = settings.image_inc_path, settings.image_pool_path
    if inc is not None:
        try:
            import_folder(search, inc, pool, stop)
        except (BogvError, OSError):
            log.exception("The import from %s stopped", inc)
