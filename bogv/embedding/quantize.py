"""Quantisation of the network to int8: three to four times as fast on CPUs without bf16.

Post-training quantisation by NNCF, calibrated on a few hundred of the user's images, which give the
ranges of the activations. NNCF is needed to make the model, not to run it.
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
"""Every HELD_OUT-th image is not used for calibration, but to measure the accuracy."""
MIN_IMAGES = 10
"""NNCF's default is 300; with fewer than a hundred, the ranges are unreliable."""


@dataclass(frozen=True)
class Quantized:
    """The int8 weights, and their accuracy and speed on the held-out images."""

    weights: Weights
    cosine_mean: float
    """Of the int8 and the full-precision embedding of an image."""
    cosine_min: float
    speedup: float
    """Time for one image at a time in full precision / the same in int8."""


def quantize(
    weights: Weights, pixels: Sequence[Pixels], cache_dir: Path, models: Path
) -> Quantized:
    """Make the int8 model of these weights. pixels: (224, 224, 3) uint8 RGB each, as decoded.

    Raises InvalidValue if there is one already (galleries may depend on it) or too few images,
    ImportError without `nncf` or `openvino`, WeightsUnavailable, StorageUnavailable.
    """
    path = int8_path(weights, models)
    if path.exists():
        raise InvalidValue(
            f"There is an int8 model already: {path}. Galleries made with it can't be searched with"
            " another one; to make a new one anyway, move the file away first."
        )
    if len(pixels) < MIN_IMAGES:
        raise InvalidValue(
            f"{len(pixels)} images are too few: give at least {MIN_IMAGES}, better 300."
        )
    nncf = _import_nncf()
    held_out = pixels[::HELD_OUT]
    calibration = [each for index, each in enumerate(pixels) if index % HELD_OUT]
    save_model(_quantize_model(nncf, openvino_model(weights, cache_dir), calibration), path)
    full = load_embedder(weights, "openvino", cache_dir)
    int8 = load_embedder(with_int8(weights, path), "openvino", cache_dir)
    full_vectors, full_seconds = _embed_timed(full, held_out)
    int8_vectors, int8_seconds = _embed_timed(int8, held_out)
    cosines = (full_vectors * int8_vectors).sum(axis=1)
    return Quantized(
        weights=int8.weights,
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        speedup=full_seconds / int8_seconds,
    )


def _import_nncf() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module("nncf")
    except ImportError as error:
        raise ImportError(f"Quantising needs nncf: pip install nncf ({error}).") from error


def _quantize_model(nncf: Any, model: Any, calibration: Sequence[Pixels]) -> Any:
    images = nncf.Dataset([each[np.newaxis] for each in calibration])
    # MIXED: symmetric for weights, asymmetric for activations, which ReLU makes non-negative.
    preset = nncf.QuantizationPreset.MIXED
    return nncf.quantize(model, images, preset=preset, subset_size=len(calibration))


def _embed_timed(embedder: Embedder, pixels: Sequence[Pixels]) -> tuple[Vectors, float]:
    """The embeddings, (n, 2048), and the median time for one image in seconds."""
    embedder.embed(pixels[0][np.newaxis])
    vectors, seconds = [], []
    for each in pixels:
        start = time.perf_counter()
        vectors.append(embedder.embed(each[np.newaxis])[0])
        seconds.append(time.perf_counter() - start)
    return np.stack(vectors), float(np.median(seconds))
