"""bogv's service in this process as a target of load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bogv.bootstrap import make_search
from bogv.config import Engine, Precision, Settings
from bogv.embedding.embedder import load_embedder
from bogv.embedding.weights import resolve
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.service import ImageSearch
from bogv.sources.folders import new_images
from bogv.storage.milvus import MilvusStore
from eval.errors import WorkbenchError
from eval.harness.load import Image, Reply
from eval.harness.rest_target import TargetInfo


@dataclass(frozen=True)
class ServiceSetup:
    """How the service is opened: on a gallery in Milvus Lite in a folder of its own."""

    folder: Path
    weights: str
    engine: Engine
    precision: Precision
    settings: Settings
    """Limits, and the folder of models."""

    @contextmanager
    def opened(self) -> Iterator[ImageSearch]:
        """Make the service, as bogv's bootstrap does."""
        weights = resolve(self.weights, precision=self.precision, models=self.settings.models_dir)
        decoder = Decoder(self.settings.max_upload, self.settings.max_pixels)
        embedder = load_embedder(weights, self.engine, self.settings.cache_dir, self.precision)
        store = MilvusStore.lite(self.folder, "latency")
        thumbnails = self.folder / "thumbnails"
        with closing(make_search(decoder, embedder, store, thumbnails)) as search:
            yield search


class ServiceTarget:
    """`ImageSearch.search` in threads of this process."""

    def __init__(self, search: ImageSearch, limit: int, threads: int) -> None:
        self._search = search
        self._limit = limit
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="latency")

    def close(self) -> None:
        """Wait for running requests."""
        self._threads.shutdown()

    def describe(self) -> TargetInfo:
        """Information about the service."""
        stats = self._search.stats()
        return TargetInfo(
            **{name: getattr(stats, name) for name in TargetInfo.__dataclass_fields__}
        )

    async def send(self, image: Image) -> Reply:
        """Search with an image."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, image.data)

    def _ask(self, data: bytes) -> Reply:
        # Measured here: with busy threads, the event loop runs only some ms later.
        started = time.monotonic()
        error: str | None = None
        seconds: Mapping[str, float] = {}
        try:
            seconds = self._search.search(data, self._limit).seconds
        except BogvError as failure:
            error = failure.type
        return Reply(error, seconds, started, time.monotonic())


@dataclass(frozen=True)
class ColdStart:
    """The times of a fresh process, in seconds."""

    opening: float
    """For the model and the gallery, imports left out."""
    reply: Reply
    """To the first search; times are the process' own."""


def fill_service(setup: ServiceSetup, paths: Sequence[Path], progress: bool) -> int:
    """Add images to the gallery, and return its size. Run in a separate process."""
    with setup.opened() as search:
        adding = search.add_many(new_images(paths, setup.settings.max_upload))
        bar = tqdm(adding, "Adding", total=len(paths), unit="image", disable=not progress)
        failed = [added for added in bar if added.error is not None]
        if failed:
            raise WorkbenchError(
                f"{len(failed):,} of the images can't be added;"
                f" the first is {failed[0].filepath!r}: {failed[0].error}"
            )
        return search.stats().count


def start_cold(setup: ServiceSetup, data: bytes, limit: int) -> ColdStart:
    """Open the service and search once. Run in a separate process."""
    start = time.perf_counter()
    with setup.opened() as search:
        opening = time.perf_counter() - start
        target = ServiceTarget(search, limit, 1)
        with closing(target):
            return ColdStart(opening, asyncio.run(target.send(Image("first", data))))
