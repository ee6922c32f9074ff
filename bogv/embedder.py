"""Pictures to embeddings: ResNet50 after global average pooling, L2-normalised."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from bogv.config import Engine as EngineName
from bogv.config import Precision
from bogv.engines import OWN, Engine, Network, OpenVinoEngine, TorchEngine, has_gpu, has_openvino
from bogv.errors import EngineFailed
from bogv.records import Pixels, Vectors
from bogv.weights import DIMENSION, Weights


class Embedder:
    """Embeds pictures with one set of weights on one engine. Safe in threads.

    Who comes while the engine is busy shares the next batch with all who wait, in the order in
    which they came; who comes alone waits for nobody.
    """

    def __init__(self, weights: Weights, engine: Engine) -> None:
        self.weights = weights
        self.engine = engine.name
        self.observe: Callable[[int], None] | None = None
        """Called with the number of images in each batch."""
        self._engine = engine
        self._waiting: deque[_Job] = deque()
        self._turn = threading.Lock()

    def embed(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, each row of length 1.

        Raises EngineFailed when the engine does: out of memory, a lost GPU.
        """
        if len(pixels) == 0:
            return np.empty((0, DIMENSION), np.float32)
        size = self._engine.batch
        parts = [self._features(pixels[at : at + size]) for at in range(0, len(pixels), size)]
        features = np.concatenate(parts)
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        vectors: Vectors = features / np.maximum(norms, np.finfo(np.float32).tiny)
        return vectors

    def _features(self, pixels: Pixels) -> Vectors:
        job = _Job(pixels)
        self._waiting.append(job)
        with self._turn:
            # Another's turn may have done it already.
            while not job.done():
                self._run(self._next_batch())
        return job.result()

    def _next_batch(self) -> list[_Job]:
        """The jobs that have waited longest, as many as fit."""
        jobs = [self._waiting.popleft()]
        room = self._engine.batch - len(jobs[0].pixels)
        while self._waiting and len(self._waiting[0].pixels) <= room:
            jobs.append(self._waiting.popleft())
            room -= len(jobs[-1].pixels)
        return jobs

    def _run(self, jobs: list[_Job]) -> None:
        try:
            pixels = np.concatenate([job.pixels for job in jobs])
            if self.observe is not None:
                self.observe(len(pixels))
            features = self._engine.features(pixels)
        except (RuntimeError, MemoryError) as error:
            for job in jobs:
                failure = EngineFailed(f"{self.engine} failed: {error}.")
                failure.__cause__ = error
                job.set_exception(failure)
            return
        except BaseException as error:  # a fault of ours, or Ctrl-C: nobody must wait for ever
            for job in jobs:
                job.set_exception(error)
            raise
        start = 0
        for job in jobs:
            job.set_result(features[start : start + len(job.pixels)])
            start += len(job.pixels)


class _Job(Future[Vectors]):
    """Pixels (n, 224, 224, 3) that wait for their features."""

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        self.pixels = pixels


def load_embedder(
    weights: Weights,
    engine: EngineName,
    cache_dir: Path,
    precision: Precision = "auto",
    network: Network = OWN,
) -> Embedder:
    """The embedder for these weights; `auto` takes what is fastest here.

    precision: of what is computed; `auto` is bf16 where the CPU has units for it, else fp32.
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
