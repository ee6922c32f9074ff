"""Pictures to embeddings: ResNet50 after global average pooling, L2-normalised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bogv.batching import Batcher
from bogv.config import Engine as EngineName
from bogv.config import Precision
from bogv.embedding.engines import (
    OWN,
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
    """Embeds pictures with one set of weights on one engine. Safe in threads.

    Single pictures that come while the engine is busy share its next batch. Many at once have a
    lane of their own: a search doesn't wait for the batch of a bulk add.
    """

    def __init__(self, weights: Weights, engine: Engine) -> None:
        self.weights = weights
        self.engine = engine.name
        self.observe: Callable[[int], None] | None = None
        """Called with the number of images in each batch."""
        self._engine = engine
        self._shared = Batcher(self._together, engine.batch)
        self._bulk_turn = threading.Lock()

    def embed(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, each row of length 1.

        Raises EngineFailed when the engine does: out of memory, a lost GPU.
        """
        if len(pixels) == 0:
            return np.empty((0, DIMENSION), np.float32)
        try:
            features = self._shared(pixels)[np.newaxis] if len(pixels) == 1 else self._bulk(pixels)
        except (RuntimeError, MemoryError) as error:
            raise EngineFailed(f"{self.engine} failed: {error}.") from error
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        vectors: Vectors = features / np.maximum(norms, np.finfo(np.float32).tiny)
        return vectors

    def _together(self, pictures: list[Pixels]) -> list[Vectors]:
        self._observed(len(pictures))
        return list(self._engine.features(np.concatenate(pictures)))

    def _bulk(self, pixels: Pixels) -> Vectors:
        with self._bulk_turn:
            self._observed(len(pixels))
            return self._engine.bulk(pixels)

    def _observed(self, images: int) -> None:
        if self.observe is not None:
            self.observe(images)


def load_embedder(
    weights: Weights,
    engine: EngineName,
    cache_dir: Path,
    precision: Precision = "auto",
    network: Network = OWN,
) -> Embedder:
    """The embedder for these weights; `auto` takes what is fastest here.

    precision: of what is computed; `auto` is bf16 where CPU or card have units for it, else fp32.
    Weights in int8 run in int8. network: another than bogv's own is for measurements.

    Raises WeightsUnavailable for a file that holds no ResNet50, EngineFailed for a precision that
    the engine or the CPU can't do, StorageUnavailable where the converted model can't be saved,
    ImportError where `openvino` is asked for and not installed.
    """
    if weights.int8 is not None and (engine == "torch" or network != OWN):
        raise EngineFailed("int8 runs on OpenVINO alone (BOGV_ENGINE=openvino), as bogv has it.")
    if engine == "auto" and weights.int8 is None:
        engine = "torch" if has_gpu() or not has_openvino() else "openvino"
    if engine == "torch":
        return Embedder(weights, TorchEngine(weights, precision, network))
    return Embedder(weights, OpenVinoEngine(weights, cache_dir, precision, network))
