"""Embeds images: ResNet50's features after global average pooling, L2-normalised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bogv.batching import Batcher
from bogv.config import Engine as EngineName
from bogv.config import Precision
from bogv.embedding.engines import (
    DEFAULT_NETWORK,
    Engine,
    Network,
    OpenVinoEngine,
    TorchEngine,
    has_gpu,
    has_openvino,
)
from bogv.embedding.weights import DIMENSION, Weights
from bogv.errors import EngineFailed
from bogv.records import Pixels, Vectors


class Embedder:
    """Embeds images with one set of weights on one engine. Thread-safe.

    Single images that arrive while the engine is busy share its next batch. Batches of several
    images have a queue of their own, so a search doesn't wait for a bulk add.
    """

    def __init__(self, weights: Weights, engine: Engine) -> None:
        self.weights = weights
        self.engine = engine.name
        self.observe: Callable[[int], None] | None = None
        """Called with the number of images in each batch."""
        self._engine = engine
        self._batcher = Batcher(self._embed_together, engine.batch)
        self._bulk_lock = threading.Lock()
        self._map_lock = threading.Lock()

    def embed(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, each row of length 1.

        Raises EngineFailed: out of memory, a lost GPU.
        """
        if len(pixels) == 0:
            return np.empty((0, DIMENSION), np.float32)
        try:
            if len(pixels) == 1:
                features = self._batcher(pixels)[np.newaxis]
            else:
                features = self._embed_bulk(pixels)
        except (RuntimeError, MemoryError) as error:
            raise EngineFailed(f"{self.engine} failed: {error}.") from error
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        vectors: Vectors = features / np.maximum(norms, np.finfo(np.float32).tiny)
        return vectors

    def feature_maps(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 7, 7, 2048) float32: the last feature map.

        Its mean over the places, scaled to length 1, is what `embed` returns, up to the rounding
        of the engine's precision. The first call compiles the model, which takes up to a second,
        and memory for another copy of the weights. Raises EngineFailed.
        """
        try:
            with self._map_lock:
                return self._engine.compute_maps(pixels)
        except (RuntimeError, MemoryError) as error:
            raise EngineFailed(f"{self.engine} failed: {error}.") from error

    def _embed_together(self, images: list[Pixels]) -> list[Vectors]:
        self._observe_batch(len(images))
        return list(self._engine.compute(np.concatenate(images)))

    def _embed_bulk(self, pixels: Pixels) -> Vectors:
        with self._bulk_lock:
            self._observe_batch(len(pixels))
            return self._engine.compute_bulk(pixels)

    def _observe_batch(self, images: int) -> None:
        if self.observe is not None:
            self.observe(images)


def load_embedder(
    weights: Weights,
    engine: EngineName,
    cache_dir: Path,
    precision: Precision = "auto",
    network: Network = DEFAULT_NETWORK,
) -> Embedder:
    """Make the embedder for these weights; engine `auto` chooses the fastest on this machine.

    precision: of the computation; `auto` is bf16 if the CPU or GPU has hardware support, else fp32.
    int8 weights always run in int8. network: variants other than bogv's are for benchmarks.

    Raises WeightsUnavailable if the file is no ResNet50, EngineFailed if the engine or the CPU
    doesn't support the precision, StorageUnavailable if the converted model can't be saved,
    ImportError if the engine is `openvino` and it isn't installed.
    """
    if weights.int8 is not None and (engine == "torch" or network != DEFAULT_NETWORK):
        raise EngineFailed(
            "int8 needs OpenVINO (BOGV_ENGINE=openvino) and bogv's unmodified network."
        )
    if engine == "auto" and weights.int8 is None:
        engine = "torch" if has_gpu() or not has_openvino() else "openvino"
    if engine == "torch":
        return Embedder(weights, TorchEngine(weights, precision, network))
    return Embedder(weights, OpenVinoEngine(weights, cache_dir, precision, network))
