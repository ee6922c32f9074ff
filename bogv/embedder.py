"""Pictures to embeddings: ResNet50 after global average pooling, L2-normalised.

OpenVINO runs it on CPUs, torch on CUDA and Apple GPUs and where OpenVINO is not installed. torch
is imported only to run or to convert: not when OpenVINO's saved model is there.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
import sys
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bogv.config import Engine, Precision
from bogv.errors import EngineFailed, StorageUnavailable, WeightsUnavailable
from bogv.images import INPUT_SIZE
from bogv.records import Pixels, Vectors
from bogv.weights import DIMENSION, Weights

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

# ImageNet's mean and standard deviation, as ResNet50_Weights.IMAGENET1K_V1.transforms(), times 255.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


class _Engine(Protocol):
    name: str
    batch: int
    """Images that it takes at once; more gain nothing, and keep others waiting."""

    def features(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, not normalised. For one thread."""


class Embedder:
    """Embeds pictures with one set of weights on one engine. Safe in threads.

    Who comes while the engine is busy shares the next batch with all who wait, in the order in
    which they came; who comes alone waits for nobody.
    """

    def __init__(self, weights: Weights, engine: _Engine) -> None:
        self.weights = weights
        self.engine = engine.name
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
            features = self._engine.features(np.concatenate([job.pixels for job in jobs]))
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
    weights: Weights, engine: Engine, cache_dir: Path, precision: Precision = "auto"
) -> Embedder:
    """The embedder for these weights; `auto` takes what is fastest here.

    precision: of what is computed; `auto` is bf16 where the CPU has units for it, else fp32.
    Weights in int8 run in int8.

    Raises WeightsUnavailable for a file that holds no ResNet50, EngineFailed for a precision that
    the engine or the CPU can't do, StorageUnavailable where the converted model can't be saved,
    ImportError where `openvino` is asked for and not installed.
    """
    on_torch = engine == "torch" or (
        engine == "auto" and weights.int8 is None and (_has_gpu() or not _has_openvino())
    )
    if not on_torch:
        return Embedder(weights, _OpenVinoEngine(weights, cache_dir, precision))
    if weights.int8 is not None:
        raise EngineFailed("int8 runs on OpenVINO alone: set BOGV_ENGINE=openvino.")
    return Embedder(weights, _TorchEngine(weights, precision))


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _has_gpu() -> bool:
    """Asks torch only where there may be one: importing it takes seconds."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    if not apple and not Path("/dev/nvidiactl").exists() and platform.system() != "Windows":
        return False
    return _device() != "cpu"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _network(weights: Weights) -> torch.nn.Module:
    """ResNet50 without its classifier: (n, 3, 224, 224) normalised float -> (n, 2048)."""
    import torch
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        network = resnet50(weights=None)
    if weights.path is not None:
        try:
            network.load_state_dict(torch.load(weights.path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch.load raises whatever unpickling trips over
            raise WeightsUnavailable(
                f"{str(weights.path)!r} holds no state dict of torchvision's ResNet50: {error}."
            ) from error
    network.fc = torch.nn.Identity()
    network.eval()
    return network  # type: ignore[no-any-return]


class _TorchEngine:
    """torch on the best device: CUDA, Apple's GPU, or the CPU."""

    batch = 64

    def __init__(self, weights: Weights, precision: Precision) -> None:
        import torch

        self._torch = torch
        self._device = _device()
        self._bf16 = precision == "bf16"
        self.name = f"torch {self._device}{' bf16' if self._bf16 else ''}"
        layout = torch.channels_last
        self._network = _network(weights).to(self._device, memory_format=layout)  # type: ignore[call-overload]
        self._mean = torch.tensor(MEAN, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=self._device).view(1, 3, 1, 1)

    def features(self, pixels: Pixels) -> Vectors:
        reduced = self._torch.autocast(self._device, self._torch.bfloat16, enabled=self._bf16)
        with self._torch.inference_mode(), reduced:
            features: Vectors = self._network(self._input(pixels)).float().cpu().numpy()
        return features

    def _input(self, pixels: Pixels) -> torch.Tensor:
        # NHWC seen as NCHW is torch's channels_last.
        batch = self._torch.tensor(pixels).to(self._device).permute(0, 3, 1, 2)
        return (batch.float() - self._mean) / self._std


_OPENVINO_TYPES = {"fp32": "f32", "bf16": "bf16"}


class _OpenVinoEngine:
    """OpenVINO on the CPU: one image over all cores, or a stream of images with one a core."""

    batch = 8

    def __init__(self, weights: Weights, cache_dir: Path, precision: Precision) -> None:
        self._core = _openvino().Core()
        self._precision = precision
        if precision == "bf16" and "BF16" not in self._core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise EngineFailed("This CPU has no bf16: set BOGV_PRECISION to auto, fp32 or int8.")
        if weights.int8 is None:
            self._model = openvino_model(weights, cache_dir)
        else:
            self._model = self._read_int8(weights.int8)
        self._single = self._queue("LATENCY")
        self._bulk: _Queue | None = None
        computed = "int8" if weights.int8 else self._single.precision
        self.name = f"openvino cpu {computed}"

    def features(self, pixels: Pixels) -> Vectors:
        return (self._single if len(pixels) == 1 else self._bulk_queue()).run(pixels)

    def _bulk_queue(self) -> _Queue:
        if self._bulk is None:
            self._bulk = self._queue("THROUGHPUT")
        return self._bulk

    def _queue(self, hint: str) -> _Queue:
        options = {"PERFORMANCE_HINT": hint}
        if self._precision in _OPENVINO_TYPES:
            options["INFERENCE_PRECISION_HINT"] = _OPENVINO_TYPES[self._precision]
        return _Queue(self._core.compile_model(self._model, "CPU", options))

    def _read_int8(self, path: Path) -> Any:
        try:
            return self._core.read_model(path)
        except RuntimeError as error:
            raise WeightsUnavailable(
                f"The int8 model {str(path)!r} can't be read: {error}. It can't be made again as it"
                " was: restore it, or begin a new gallery."
            ) from error


class _Queue:
    """A compiled model and its requests."""

    def __init__(self, compiled: Any) -> None:
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._queue = _openvino().AsyncInferQueue(compiled)
        self._queue.set_callback(self._store)

    def run(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 -> (n, 2048) float32."""
        out = np.empty((len(pixels), DIMENSION), np.float32)
        for index, image in enumerate(pixels):
            self._queue.start_async(image[np.newaxis], (out, index))
        self._queue.wait_all()
        return out

    @staticmethod
    def _store(request: Any, place: tuple[Vectors, int]) -> None:
        out, index = place
        out[index] = request.get_output_tensor().data[0]


def _openvino() -> Any:
    """OpenVINO without its telemetry package, which would report each import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def openvino_model(weights: Weights, cache_dir: Path) -> Any:
    """OpenVINO's model of (1, 224, 224, 3) uint8 RGB -> (1, 2048), converted once and then kept.

    Raises WeightsUnavailable, StorageUnavailable.
    """
    path = cache_dir / f"resnet50-{weights.fingerprint}.xml"
    if path.exists():
        try:
            return _openvino().Core().read_model(path)
        except RuntimeError as error:
            log.warning("The saved model %s can't be read, making it again: %s", path, error)
    model = _converted(_network(weights))
    save_model(model, path)
    return model


def _converted(network: torch.nn.Module) -> Any:
    """torch module -> OpenVINO model of (1, 224, 224, 3) uint8, mean and scale in the graph."""
    import torch
    from openvino.preprocess import PrePostProcessor

    openvino = _openvino()
    example = torch.zeros(1, 3, INPUT_SIZE, INPUT_SIZE)
    exported = torch.export.export(network, (example,))
    steps = PrePostProcessor(openvino.convert_model(exported))
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(MEAN).scale(STD)
    model = steps.build()
    model.reshape([1, INPUT_SIZE, INPUT_SIZE, 3])
    return model


def save_model(model: Any, path: Path) -> None:
    """The .xml last: where it is, its .bin is whole. Raises StorageUnavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            saved = Path(folder) / path.name
            _openvino().save_model(model, saved, compress_to_fp16=False)
            saved.with_suffix(".bin").replace(path.with_suffix(".bin"))
            saved.replace(path)
    except (OSError, RuntimeError) as error:
        raise StorageUnavailable(f"The model can't be saved to {path}: {error}.") from error
