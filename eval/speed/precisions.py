"""The network in each precision: how fast it is, and how near to fp32."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bogv.config import Precision
from bogv.errors import EngineFailed, WeightsUnavailable
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels, Vectors
from bogv.sources.paths import read_file
from eval.harness.cpu import BackgroundLoad
from eval.harness.processes import run_in_process
from eval.report.background import largest
from eval.speed.result import PrecisionPart
from eval.speed.setting import Setting

MOST_IMAGES = 64
SINGLES = 20
"""Images that are embedded one at a time, too."""
REFERENCE: Precision = "fp32"


@dataclass(frozen=True)
class PrecisionRun:
    """A round of one precision."""

    engine: str
    rate: float
    """Images a second."""
    single_ms: float
    vectors: Vectors
    """(n, 2048) float32, of length 1."""
    others: float | None


def compare_precisions(
    setting: Setting,
    precisions: Sequence[Precision],
    paths: Sequence[Path],
    rounds: int,
    report_step: Callable[[str], None],
) -> list[PrecisionPart]:
    """Each precision in turn, again and again. Those that the machine hasn't say why.

    report_step: called with the name of each step as it begins.
    """
    report_step("embedding in each precision")
    missing: dict[Precision, str] = {}
    runs: dict[Precision, list[PrecisionRun]] = {}
    for _ in range(rounds):
        for precision in dict.fromkeys((*precisions, REFERENCE)):
            if precision not in missing:
                try:
                    run = run_in_process(
                        embed_images, setting.with_precision(precision), paths[:MOST_IMAGES]
                    )
                except (EngineFailed, WeightsUnavailable, ImportError) as error:
                    missing[precision] = str(error)
                else:
                    runs.setdefault(precision, []).append(run)
    reference = runs[REFERENCE][0].vectors if REFERENCE in runs else None
    return [_part(each, runs.get(each, []), missing.get(each), reference) for each in precisions]


def embed_images(setting: Setting, paths: Sequence[Path]) -> PrecisionRun:
    """Embed images one at a time, and all at once. Run in a separate process."""
    embedder = setting.embedder()
    pixels = _decode(setting, paths)
    embedder.embed(pixels[:1])
    embedder.embed(pixels[:2])  # compiles the model for several images
    load = BackgroundLoad()
    singles = [_seconds(embedder.embed, image[None]) for image in pixels[:SINGLES]]
    start = time.perf_counter()
    vectors = embedder.embed(pixels)
    seconds = time.perf_counter() - start
    return PrecisionRun(
        embedder.engine,
        len(pixels) / seconds,
        1000 * statistics.median(singles),
        vectors,
        load.share(),
    )


def _decode(setting: Setting, paths: Sequence[Path]) -> Pixels:
    with closing(Decoder(setting.max_upload, setting.max_pixels)) as decoder:
        files = (read_file(path, setting.max_upload) for path in paths)
        return np.stack([decoder.decode(data).pixels for data in files])


def _seconds(embed: Callable[[Pixels], Vectors], pixels: Pixels) -> float:
    start = time.perf_counter()
    embed(pixels)
    return time.perf_counter() - start


def _part(
    precision: Precision,
    runs: Sequence[PrecisionRun],
    missing: str | None,
    reference: Vectors | None,
) -> PrecisionPart:
    if not runs:
        return PrecisionPart(precision=precision, missing=missing)
    rates = [run.rate for run in runs]
    cosines = None if reference is None else (runs[0].vectors * reference).sum(axis=1)
    return PrecisionPart(
        precision=precision,
        missing=None,
        engine=runs[0].engine,
        rate=round(statistics.median(rates), 3),
        rates=(round(min(rates), 3), round(max(rates), 3)),
        single_ms=round(statistics.median(run.single_ms for run in runs), 3),
        cosine_mean=None if cosines is None else round(float(cosines.mean()), 6),
        cosine_min=None if cosines is None else round(float(cosines.min()), 6),
        others=largest(run.others for run in runs),
    )
