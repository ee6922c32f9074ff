"""The parts of `speed` that run in separate processes, unaffected by earlier parts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from eval.harness.cpu import BackgroundLoad, ProcessorTime
from eval.harness.galleries import ROWS, put_vectors, rows_of
from eval.harness.processes import pin_to_core
from eval.harness.synthetic import Clustered
from eval.metrics import ann_recall
from eval.speed.baseline import Baseline, decode, read
from eval.speed.result import Sample
from eval.speed.setting import Setting
from eval.vectors import nearest_neighbours

T = TypeVar("T")
Clock = Callable[[], float]
"""Seconds from some moment on."""

K = 10


def full_size_decoder(max_bytes: int, max_pixels: int) -> Decoder:
    """bogv's decoder without the JPEG decoder's scaling: what scaling is compared with."""
    return Decoder(max_bytes, max_pixels, draft_side=2**31 - 1)  # more than any side has


@dataclass(frozen=True)
class WorkTiming:
    """The time for some images."""

    seconds: float
    images: int
    others: float | None
    """Share of CPU time that other processes used meanwhile."""
    fill: float = 0.0
    """Share of the time that filling and draining the pipeline took."""

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def sample(self) -> Sample:
        """The rate, as a figure of a round."""
        return Sample(self.rate, self.others)


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
        list(_created(search.add_many(new_images(warm_up, setting.max_upload))))
        images = list(new_images(paths, setting.max_upload))
        return time_pipeline(lambda: _created(search.add_many(images)), len(paths))


def time_pipeline(
    work: Callable[[], Iterator[object]], images: int, clock: Clock = time.perf_counter
) -> WorkTiming:
    """Time a pipeline that gives a result for each image as soon as the image's batch is done.

    The first batch passes all stages while the others wait, and the last one leaves them idle. The
    later batches tell how fast the pipeline is when full.
    """
    load, start = BackgroundLoad(), clock()
    done = [clock() - start for _ in work()]
    return WorkTiming(done[-1], images, load.share(), fill_share(done))


def fill_share(done: Sequence[float], batch: int = BATCH) -> float:
    """1 - the rate of all images / the rate after the first batch; 1 for a single batch.

    done: seconds from the start until each image was done, ascending.

    >>> fill_share([3.0, 4.0, 5.0, 6.0], batch=1)  # a second each, had it been full
    0.333...
    """
    if len(done) <= batch:
        return 1.0
    whole, first = done[-1], done[batch - 1]
    full = (len(done) - batch) / max(whole - first, 1e-9)
    return max(0.0, 1 - len(done) / whole / full)


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


def fill_baseline(setting: Setting, folder: Path, rows: int, seed: int) -> int:
    """Fill the baseline's gallery with the rows of `fill_gallery`, and return their number."""
    with closing(Baseline(setting.weights, folder)) as usual:
        for batch in Clustered(seed).gallery(rows, ROWS):
            usual.fill(batch)
    return rows


def search_by_baseline(
    setting: Setting, folder: Path, paths: Sequence[Path], searches: int
) -> Sample:
    """Median of the seconds of each search with the baseline, over the gallery in `folder`."""
    images = [path.read_bytes() for path in paths]
    with closing(Baseline(setting.weights, folder)) as usual:
        usual.search(images[0], K)
        load = BackgroundLoad()
        turns = islice(cycle(images), searches)
        seconds = [_seconds_of(partial(usual.search, data, K)) for data in turns]
        return Sample(statistics.median(seconds), load.share())


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
    setting: Setting, folder: Path, paths: Sequence[Path], core: int = 0, full_size: bool = False
) -> dict[str, float]:
    """Processor time that an image takes in each stage of `add_many`, in ms; on one core.

    full_size: without the JPEG decoder's scaling.

    Processor time, because a busy host takes the processor away for a while, and a clock counts
    that. On one core, because two that wait for each other in a loop are busy with nothing.
    """
    pin_to_core(core)
    embedder = setting.embedder()
    decoder = (full_size_decoder if full_size else Decoder)(setting.max_upload, setting.max_pixels)
    thumbnails = Thumbnails(str(folder / "thumbnails"))

    def read_one(path: Path) -> tuple[bytes, str]:
        data = read_file(path, setting.max_upload)
        return data, md5_of(data)

    stages = _Stages()
    files = stages.each("read and MD5", read_one, paths)
    images = [data for data, _ in files]
    decoder.decode(images[0])  # starts its process, which imports Pillow's plugins
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
    decoder.close()
    return stages.ms


def measure_baseline_stages(
    setting: Setting, folder: Path, paths: Sequence[Path]
) -> dict[str, float]:
    """The same for the baseline; its stages by the names of bogv's. Run with ONE_THREAD."""
    pin_to_core(0)
    stages = _Stages()
    with closing(Baseline(setting.weights, folder)) as usual:
        usual.embed(usual.resize(decode(paths[0].read_bytes())))
        files = stages.each("read and MD5", read, paths)
        pictures = stages.each("decode and resize", lambda file: decode(file[0]), files)
        pixels = stages.each("resize", usual.resize, pictures)
        stages.ms["decode and resize"] += stages.ms.pop("resize")
        vectors = stages.each("embed", usual.embed, pixels)
        keys = [key for _, key in files]
        thumbnails = list(zip(keys, pictures, strict=True))
        stages.each("thumbnail", lambda item: usual.save_thumbnail(*item), thumbnails)
        rows = list(zip(keys, paths, vectors, strict=True))
        stages.each("store", lambda row: usual.insert(*row), rows)
    return stages.ms


class _Stages:
    """Processor time by stage."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def each(
        self, stage: str, work: Callable[[Any], T], items: Sequence[Any], images: int = 0
    ) -> list[T]:
        """What the work gives for each item. images: that are in the items; 0: one in each."""
        used = ProcessorTime()  # decoding runs in a process of its own
        done = [work(item) for item in items]
        self.ms[stage] = 1000 * used.seconds() / (images or len(items))
        return done


def _store(store: MilvusStore, records: Sequence[Record], vectors: Vectors) -> None:
    """As the service does: looked up before decoding and again before writing."""
    ids = [record.id for record in records]
    store.get(ids, latest=False)
    store.get(ids)
    store.put(records, vectors)


def _time(work: Callable[[], object], images: int) -> WorkTiming:
    load = BackgroundLoad()
    return WorkTiming(_seconds_of(work), images, load.share())


def _seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _created(verdicts: Iterable[Added]) -> Iterator[Added]:
    """The same. Raises WorkbenchError for an image that is not new."""
    for added in verdicts:
        if added.status != "created":
            raise WorkbenchError(f"{added.filepath!r} was {added.status}: {added.error}")
        yield added
