"""The network in int8: three to four times as fast on CPUs without units for bf16.

Post-training quantisation by NNCF, calibrated on images of the user's own: a few hundred show it
how large the activations get. NNCF is needed to make the model, not to run it.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.engines import openvino_model, save_model
from bogv.embedding.weights import Weights, int8_path, with_int8
from bogv.errors import InvalidValue
from bogv.records import Pixels, Vectors

HELD_OUT = 5
"""One image in so many is kept from calibration, and the result is measured on these."""
LEAST = 10
"""Images. NNCF takes 300 by default; on fewer than some hundred the ranges are guesses."""


@dataclass(frozen=True)
class Quantized:
    """The weights in int8, and how near they come to full precision on images held out."""

    weights: Weights
    cosine_mean: float
    cosine_least: float
    speedup: float
    """Time for one image at a time in full precision / the same in int8."""


def quantize(
    weights: Weights, pixels: Sequence[Pixels], cache_dir: Path, models: Path
) -> Quantized:
    """Make the int8 model of these weights. pixels: (224, 224, 3) uint8 RGB each, as decoded.

    Raises InvalidValue where there is one already (galleries may depend on it) or the images are
    too few, ImportError without `nncf` or `openvino`, WeightsUnavailable, StorageUnavailable.
    """
    path = int8_path(weights, models)
    if path.exists():
        raise InvalidValue(
            f"There is an int8 model already: {path}. Galleries made with it can be searched with"
            " no other; to make another all the same, move it away first."
        )
    if len(pixels) < LEAST:
        raise InvalidValue(f"{len(pixels)} images are too few: some 300 are good, {LEAST} needed.")
    held_out = pixels[::HELD_OUT]
    calibration = [each for index, each in enumerate(pixels) if index % HELD_OUT]
    save_model(_quantized(openvino_model(weights, cache_dir), calibration), path)
    full = load_embedder(weights, "openvino", cache_dir)
    small = load_embedder(with_int8(weights, path), "openvino", cache_dir)
    before, seconds_before = _embedded(full, held_out)
    after, seconds_after = _embedded(small, held_out)
    cosines = (before * after).sum(axis=1)
    return Quantized(
        weights=small.weights,
        cosine_mean=float(cosines.mean()),
        cosine_least=float(cosines.min()),
        speedup=seconds_before / seconds_after,
    )


def _quantized(model: Any, calibration: Sequence[Pixels]) -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        nncf = importlib.import_module("nncf")
    except ImportError as error:
        raise ImportError(f"Quantising needs nncf: pip install nncf ({error}).") from error
    images = nncf.Dataset([each[np.newaxis] for each in calibration])
    # MIXED: symmetric weights, asymmetric activations; ReLU's are never negative.
    preset = nncf.QuantizationPreset.MIXED
    return nncf.quantize(model, images, preset=preset, subset_size=len(calibration))


def _embedded(embedder: Embedder, pixels: Sequence[Pixels]) -> tuple[Vectors, float]:
    """(n, 2048), and the median seconds for one image."""
    embedder.embed(pixels[0][np.newaxis])
    vectors, seconds = [], []
    for each in pixels:
        start = time.perf_counter()
        vectors.append(embedder.embed(each[np.newaxis])[0])
        seconds.append(time.perf_counter() - start)
    return np.stack(vectors), float(np.median(seconds))
