"""The parts of `speed` that run in separate processes, unaffected by earlier parts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bogv.embedding.weights import DIMENSION
from bogv.imaging.decoder import Decoder
from bogv.ingest import BATCH
from bogv.records import Added, Record, Vectors, image_id, md5_of
from bogv.sources.folders import new_images
from bogv.sources.paths import read_file
from bogv.storage.maintenance import wait_for_index
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails
from eval.errors import WorkbenchError
from eval.harness.galleries import ROWS, put_vectors, rows_of
from eval.harness.synthetic import Clustered
from eval.metrics import ann_recall
from eval.speed.baseline import Baseline
from eval.speed.setting import Setting
from eval.vectors import nearest_neighbours

T = TypeVar("T")

K = 10


def full_size_decoder(max_bytes: int, max_pixels: int) -> Decoder:
    """bogv's decoder without the JPEG decoder's scaling: what scaling is compared with."""
    return Decoder(max_bytes, max_pixels, draft_side=2**31 - 1)  # more than any side has


@dataclass(frozen=True)
class WorkTiming:
    """The time for some images."""

    seconds: float
    cpu: float
    """Seconds of CPU time, of all threads."""
    images: int

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Processor time of an image."""
        return 1000 * self.cpu / self.images


def engine_of(setting: Setting) -> str:
    """The engine's name, with the precision that it computes in; the model is converted by now."""
    return setting.embedder().engine


def add_images(
    setting: Setting, folder: Path, warm_up: Sequence[Path], paths: Sequence[Path], full_size: bool
) -> WorkTiming:
    """Add images by bogv's own pipeline into an empty gallery, some of them before the clock runs.

    full_size: without the JPEG decoder's scaling.
    """
    decoder = (full_size_decoder if full_size else Decoder)(setting.max_upload, setting.max_pixels)
    with setting.opened(folder, decoder) as search:
        _check_created(search.add_many(new_images(warm_up, setting.max_upload)))
        images = list(new_images(paths, setting.max_upload))
        return _time(lambda: _check_created(search.add_many(images)), len(paths))


def add_by_baseline(
    setting: Setting, folder: Path, warm_up: Sequence[Path], paths: Sequence[Path]
) -> WorkTiming:
    """The same with the baseline."""

    def add(images: Iterable[Path]) -> None:
        for path in images:
            usual.add(path)

    with closing(Baseline(setting.weights, folder)) as usual:
        add(warm_up)
        return _time(lambda: add(paths), len(paths))


def search_by_baseline(
    setting: Setting, folder: Path, rows: int, seed: int, paths: Sequence[Path], searches: int
) -> list[float]:
    """Seconds of each search with the baseline, over the rows of `fill_gallery`."""
    images = [path.read_bytes() for path in paths]
    with closing(Baseline(setting.weights, folder)) as usual:
        for batch in Clustered(seed).gallery(rows, ROWS):
            usual.fill(batch)
        usual.search(images[0], K)
        turns = islice(cycle(images), searches)
        return [_time(partial(usual.search, data, K), 1).seconds for data in turns]


def fill_gallery(setting: Setting, rows: int, seed: int, queries: int) -> list[float]:
    """Fill bogv's gallery with synthetic vectors; return each query's ann_recall once indexed."""
    distribution = Clustered(seed)
    asked = distribution.queries(queries)
    k = min(K, rows)
    with closing(setting.store(setting.data)) as store:
        store.open(setting.weights.fingerprint, DIMENSION)
        put_vectors(store, distribution.gallery(rows, ROWS))
        wait_for_index(store)
        exact = nearest_neighbours(distribution.gallery(rows, ROWS), asked, k)
        found = [rows_of(store.search(query, k)) for query in asked]
    true = exact.rows.tolist()
    return [ann_recall(each, nearest) for each, nearest in zip(found, true, strict=True)]


# Each stage alone


def measure_stages(
    setting: Setting, folder: Path, paths: Sequence[Path], core: int = 0
) -> dict[str, float]:
    """Processor time that an image takes in each stage of `add_many`, in ms; on one core.

    Processor time, because a busy host takes the processor away for a while, and a clock counts
    that. On one core, because two that wait for each other in a loop are busy with nothing.
    """
    _pin_to_core(core)
    embedder = setting.embedder()
    decoder = Decoder(setting.max_upload, setting.max_pixels)
    thumbnails = Thumbnails(str(folder / "thumbnails"))

    def read(path: Path) -> tuple[bytes, str]:
        data = read_file(path, setting.max_upload)
        return data, md5_of(data)

    stages = _Stages()
    files = stages.each("read and MD5", read, paths)
    images = [data for data, _ in files]
    decoder.decode(images[0])  # imports Pillow's plugins
    pictures = stages.each("decode and resize", decoder.decode, images)
    whole = stages.each("with thumbnail", lambda data: decoder.decode(data, True), images)
    # A thumbnail can't be made by itself: its time is the difference of decoding with and without.
    stages.ms["thumbnail"] = stages.ms.pop("with thumbnail") - stages.ms["decode and resize"]
    pixels = np.stack([picture.pixels for picture in pictures])
    embedder.embed(pixels[:2])  # compiles the model for several images
    batches = [pixels[at : at + BATCH] for at in range(0, len(pixels), BATCH)]
    vectors = np.concatenate(stages.each("embed", embedder.embed, batches, len(pixels)))
    made = enumerate(picture.thumbnail or b"" for picture in whole)
    stages.each("write thumbnail", lambda item: thumbnails.write(*item), list(made))
    with closing(setting.store(folder)) as store:
        store.open(setting.weights.fingerprint, DIMENSION)
        records = [
            Record(image_id(md5, md5), md5, "", md5, p.width, p.height, p.size, at + 1)
            for at, ((_, md5), p) in enumerate(zip(files, whole, strict=True))
        ]
        rows = [
            (records[at : at + BATCH], vectors[at : at + BATCH])
            for at in range(0, len(records), BATCH)
        ]
        stages.each("store", lambda batch: _store(store, *batch), rows, len(records))
    return stages.ms


class _Stages:
    """Processor time by stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def each(
        self, stage: str, work: Callable[[Any], T], items: Sequence[Any], images: int = 0
    ) -> list[T]:
        """What the work gives for each item. images: that are in the items; 0: one in each."""
        start = time.process_time()
        done = [work(item) for item in items]
        self.ms[stage] = 1000 * (time.process_time() - start) / (images or len(items))
        return done


def _store(store: MilvusStore, records: Sequence[Record], vectors: Vectors) -> None:
    """As the service does: looked up before decoding and again before writing."""
    ids = [record.id for record in records]
    store.get(ids, latest=False)
    store.get(ids)
    store.put(records, vectors)


def _pin_to_core(core: int) -> None:
    """Use one core, if the system supports it. Before OpenVINO is loaded, which then starts one
    thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[core : core + 1]))


def _time(work: Callable[[], object], images: int) -> WorkTiming:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return WorkTiming(time.perf_counter() - wall, time.process_time() - cpu, images)


def _check_created(verdicts: Iterable[Added]) -> None:
    for added in verdicts:
        if added.status != "created":
            raise WorkbenchError(f"{added.filepath!r} was {added.status}: {added.error}")
