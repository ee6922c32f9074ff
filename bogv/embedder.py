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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bogv.config import Engine
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


@dataclass(frozen=True)
class Network:
    """What of the network can be another for a measurement; by default it is bogv's own."""

    size: int = INPUT_SIZE
    """Pixels of the input along each side."""
    pooling: str = "gap"
    """Its name: the saved models of two poolings are two files."""
    pool: Callable[[], torch.nn.Module] | None = None
    """Makes the module (n, 2048, h, w) -> (n, 2048, 1, 1); None: global average pooling."""


OWN = Network()


class _Engine(Protocol):
    name: str

    def features(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, not normalised. Safe in threads."""


class Embedder:
    """Embeds pictures with one set of weights on one engine."""

    def __init__(self, weights: Weights, engine: _Engine) -> None:
        self.weights = weights
        self.engine = engine.name
        self._engine = engine

    def embed(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, each row of length 1.

        Raises EngineFailed when the engine does: out of memory, a lost GPU.
        """
        if len(pixels) == 0:
            return np.empty((0, DIMENSION), np.float32)
        try:
            features = self._engine.features(np.ascontiguousarray(pixels))
        except RuntimeError as error:
            raise EngineFailed(f"{self.engine} failed: {error}.") from error
        norms = np.linalg.norm(features, axis=1, keepdims=True)
        vectors: Vectors = features / np.maximum(norms, np.finfo(np.float32).tiny)
        return vectors


def load_embedder(
    weights: Weights, engine: Engine, cache_dir: Path, *, network: Network = OWN
) -> Embedder:
    """The embedder for these weights; `auto` takes what is fastest here.

    Raises WeightsUnavailable for a file that holds no ResNet50, StorageUnavailable where the
    converted model can't be saved, ImportError where `openvino` is asked for and not installed.
    """
    if engine == "torch" or (engine == "auto" and (_has_gpu() or not _has_openvino())):
        return Embedder(weights, _TorchEngine(weights, network))
    return Embedder(weights, _OpenVinoEngine(weights, cache_dir, network))


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


def _network(weights: Weights, variant: Network = OWN) -> torch.nn.Module:
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
    if variant.pool is not None:
        network.avgpool = variant.pool()
    network.eval()
    return network  # type: ignore[no-any-return]


class _TorchEngine:
    """torch on the best device: CUDA, Apple's GPU, or the CPU."""

    _BATCH = 64

    def __init__(self, weights: Weights, variant: Network = OWN) -> None:
        import torch

        self._torch = torch
        self._device = _device()
        self.name = f"torch {self._device}"
        layout = torch.channels_last
        network = _network(weights, variant)
        self._network = network.to(self._device, memory_format=layout)  # type: ignore[call-overload]
        self._mean = torch.tensor(MEAN, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=self._device).view(1, 3, 1, 1)

    def features(self, pixels: Pixels) -> Vectors:
        with self._torch.inference_mode():
            parts = [
                self._network(self._input(pixels[start : start + self._BATCH])).float().cpu()
                for start in range(0, len(pixels), self._BATCH)
            ]
        return self._torch.cat(parts).numpy()

    def _input(self, pixels: Pixels) -> torch.Tensor:
        # NHWC seen as NCHW is torch's channels_last.
        batch = self._torch.tensor(pixels).to(self._device).permute(0, 3, 1, 2)
        return (batch.float() - self._mean) / self._std


class _OpenVinoEngine:
    """OpenVINO on the CPU: one image over all cores, or a stream of images with one a core."""

    def __init__(self, weights: Weights, cache_dir: Path, variant: Network = OWN) -> None:
        self._core = _openvino().Core()
        self._model = self._read(weights, cache_dir / _saved_name(weights, variant), variant)
        self._single = _Queue(self._core, self._model, "LATENCY")
        self._bulk: _Queue | None = None
        self._lock = threading.Lock()
        self.name = f"openvino cpu {self._single.precision}"

    def features(self, pixels: Pixels) -> Vectors:
        return (self._single if len(pixels) == 1 else self._bulk_queue()).run(pixels)

    def _bulk_queue(self) -> _Queue:
        with self._lock:
            if self._bulk is None:
                self._bulk = _Queue(self._core, self._model, "THROUGHPUT")
            return self._bulk

    def _read(self, weights: Weights, path: Path, variant: Network) -> Any:
        if path.exists():
            try:
                return self._core.read_model(path)
            except RuntimeError as error:
                log.warning("The saved model %s can't be read, making it again: %s", path, error)
        model = _converted(_network(weights, variant), variant.size)
        try:
            _save(model, path)
        except (OSError, RuntimeError) as error:
            raise StorageUnavailable(f"The model can't be saved to {path}: {error}.") from error
        return model


class _Queue:
    """A compiled model and its requests. Calls take turns: one alone keeps every core busy."""

    def __init__(self, core: Any, model: Any, hint: str) -> None:
        compiled = core.compile_model(model, "CPU", {"PERFORMANCE_HINT": hint})
        self.precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self._queue = _openvino().AsyncInferQueue(compiled)
        self._queue.set_callback(self._store)
        self._lock = threading.Lock()

    def run(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 -> (n, 2048) float32."""
        out = np.empty((len(pixels), DIMENSION), np.float32)
        with self._lock:
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


def _saved_name(weights: Weights, variant: Network) -> str:
    parts = [f"resnet50-{weights.fingerprint}"]
    parts += [variant.pooling] if variant.pooling != OWN.pooling else []
    parts += [str(variant.size)] if variant.size != OWN.size else []
    return f"{'-'.join(parts)}.xml"


def _converted(network: torch.nn.Module, size: int = INPUT_SIZE) -> Any:
    """torch module -> OpenVINO model of (1, size, size, 3) uint8, mean and scale in the graph."""
    import torch
    from openvino.preprocess import PrePostProcessor

    openvino = _openvino()
    example = torch.zeros(1, 3, size, size)
    exported = torch.export.export(network, (example,))
    steps = PrePostProcessor(openvino.convert_model(exported))
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32).mean(MEAN).scale(STD)
    model = steps.build()
    model.reshape([1, size, size, 3])
    return model


def _save(model: Any, path: Path) -> None:
    """The .xml last: where it is, its .bin is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        saved = Path(folder) / path.name
        _openvino().save_model(model, saved, compress_to_fp16=False)
        saved.with_suffix(".bin").replace(path.with_suffix(".bin"))
        saved.replace(path)
