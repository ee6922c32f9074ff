"""What it costs to embed an image with each setting, against the baseline in the same process.

Each setting takes turns with the baseline over the same images: a machine that grows slower while
it is measured slows both. Processor time on one core, as `eval.speed.worker` has it: a busy host
takes the processor away, and threads that wait for each other in a loop would count as work.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bogv.imaging.decoder import Decoder
from eval.data.datasets import Dataset
from eval.embedding.settings import prepare_input
from eval.harness.cpu import BackgroundLoad, ProcessorTime
from eval.harness.processes import ONE_THREAD, pin_to_core, run_in_process
from eval.sweep.loading import Loading
from eval.sweep.settings import SweptSettings

ROUNDS = 3
IMAGES = 32


@dataclass(frozen=True)
class EmbeddingCost:
    """The cost of one image."""

    ms: float
    """The baseline's median of all rounds, times the ratio."""
    ratio: float
    """To the baseline: the median of the rounds'."""
    lowest: float
    """The smallest ratio of a round."""
    highest: float
    others: float | None
    """The share of the machine's CPU time that other processes used meanwhile."""


def sample_images(dataset: Dataset, count: int = IMAGES) -> list[bytes]:
    """The bytes of at most so many images, spread evenly over the dataset."""
    items = dataset.items
    places = np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)
    return [items[place].read() for place in places.tolist()]


def measure_costs(
    loading: Loading, images: Sequence[bytes], settings: Sequence[SweptSettings]
) -> list[EmbeddingCost]:
    """The cost of each setting, in a process of its own; the first one is the baseline.

    Raises what loading a network and embedding raise.
    """
    return run_in_process(measure_in_turns, loading, images, settings, **ONE_THREAD)


def measure_in_turns(
    loading: Loading, images: Sequence[bytes], settings: Sequence[SweptSettings]
) -> list[EmbeddingCost]:
    """The same in this process, on one core."""
    pin_to_core(0)
    decoder = loading.decoder()
    try:
        rounds = [_measure_rounds(loading, decoder, images, settings[0], s) for s in settings]
    finally:
        decoder.close()
    baseline = statistics.median(base for pairs, _ in rounds for base, _ in pairs)
    return [_cost(baseline, pairs, others) for pairs, others in rounds]


Pairs = list[tuple[float, float]]
"""Of each round: milliseconds of an image with the baseline and with the setting."""


def _measure_rounds(
    loading: Loading,
    decoder: Decoder,
    images: Sequence[bytes],
    baseline: SweptSettings,
    settings: SweptSettings,
) -> tuple[Pairs, float | None]:
    both = [baseline] if settings == baseline else [baseline, settings]
    for each in both:
        _embed(loading, decoder, images[:2], each)  # loads and compiles
    load = BackgroundLoad()
    pairs = []
    for _ in range(ROUNDS):
        times = [_ms_of_an_image(loading, decoder, images, each) for each in both]
        pairs.append((times[0], times[-1]))
    return pairs, load.share()


def _ms_of_an_image(
    loading: Loading, decoder: Decoder, images: Sequence[bytes], settings: SweptSettings
) -> float:
    clock = _clock(loading.embedder(settings.precision, settings.embedding).engine)
    _embed(loading, decoder, images, settings)
    return 1000 * clock() / len(images)


def _clock(engine: str) -> Callable[[], float]:
    """Seconds of processor time from now on; on a GPU of the clock, whose work is not counted."""
    if "cuda" in engine:
        start = time.perf_counter()
        return lambda: time.perf_counter() - start
    return ProcessorTime().seconds


def _embed(
    loading: Loading, decoder: Decoder, images: Sequence[bytes], settings: SweptSettings
) -> None:
    """All that `eval.embedding.embed` does for each image but for the cache."""
    for scaled in settings.embedding.at_scales():
        embedder = loading.embedder(settings.precision, scaled)
        for mirror in (False, True) if settings.tta == "flip" else (False,):
            pixels = [prepare_input(data, decoder, scaled, mirror=mirror) for data in images]
            embedder.embed(np.stack(pixels))


def _cost(baseline: float, pairs: Pairs, others: float | None) -> EmbeddingCost:
    ratios = [own / base for base, own in pairs]
    ratio = statistics.median(ratios)
    return EmbeddingCost(
        ms=round(baseline * ratio, 2),
        ratio=round(ratio, 3),
        lowest=round(min(ratios), 3),
        highest=round(max(ratios), 3),
        others=others,
    )
