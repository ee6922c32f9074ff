"""What runs ResNet50: OpenVINO on CPUs, torch on CUDA and Apple GPUs or where OpenVINO is missing.

torch is imported only to run or to convert: not when OpenVINO's saved model is there.
"""

from __future__ import annotations

import importlib.util
import logging
import platform
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bogv.config import Precision
from bogv.embedding.weights import DIMENSION, Weights
from bogv.errors import EngineFailed, StorageUnavailable, WeightsUnavailable
from bogv.files import atomic_write
from bogv.imaging.decode import INPUT_SIZE
from bogv.records import Pixels, Vectors

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


class Engine(Protocol):
    name: str
    batch: int
    """Images that `features` takes at once; more gain nothing, and keep others waiting."""

    def features(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, not normalised. For one thread."""

    def bulk(self, pixels: Pixels) -> Vectors:
        """The same for any number; for one thread, which may be another at the same time."""


def has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def has_gpu() -> bool:
    """Asks torch only where there may be one: importing it takes seconds."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    if not apple and not Path("/dev/nvidiactl").exists():
        return False
    return _device() != "cpu"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _has_bf16(device: str) -> bool:
    """Whether the device computes in bf16 faster than in fp32; of CPUs, OpenVINO knows."""
    import torch

    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _network(weights: Weights, variant: Network) -> torch.nn.Module:
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


class TorchEngine:
    """torch on the best device: CUDA, Apple's GPU, or the CPU."""

    batch = 64

    def __init__(self, weights: Weights, precision: Precision, variant: Network = OWN) -> None:
        import torch

        self._torch = torch
        self._device = _device()
        self._bf16 = precision == "bf16" or (precision == "auto" and _has_bf16(self._device))
        self.name = f"torch {self._device}{' bf16' if self._bf16 else ''}"
        layout = torch.channels_last
        network = _network(weights, variant)
        self._network = network.to(self._device, memory_format=layout)  # type: ignore[call-overload]
        self._mean = torch.tensor(MEAN, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=self._device).view(1, 3, 1, 1)

    def bulk(self, pixels: Pixels) -> Vectors:
        size = self.batch
        parts = [self.features(pixels[at : at + size]) for at in range(0, len(pixels), size)]
        return np.concatenate(parts)

    def features(self, pixels: Pixels) -> Vectors:
        reduced = self._torch.autocast(self._device, self._torch.bfloat16, enabled=self._bf16)
        with self._torch.inference_mode(), reduced:
            features: Vectors = self._network(self._input(pixels)).float().cpu().numpy()
        return features

    def _input(self, pixels: Pixels) -> torch.Tensor:
        batch = self._torch.tensor(pixels)
        if self._device == "cuda":
            batch = batch.pin_memory()  # the card fetches it while this thread goes on
        # NHWC seen as NCHW is torch's channels_last.
        batch = batch.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return (batch.float() - self._mean) / self._std


_OPENVINO_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """OpenVINO on the CPU: one image over all cores, or a stream of images with one a core."""

    batch = 8

    def __init__(
        self, weights: Weights, cache_dir: Path, precision: Precision, variant: Network = OWN
    ) -> None:
        self._core = _openvino().Core()
        self._precision = precision
        if precision == "bf16" and "BF16" not in self._core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise EngineFailed("This CPU has no bf16: set BOGV_PRECISION to auto, fp32 or int8.")
        if weights.int8 is None:
            self._model = openvino_model(weights, cache_dir, variant)
        else:
            self._model = self._read_int8(weights.int8)
        latency = self._compiled("LATENCY")
        self._single = _Queue(latency)
        self._throughput: Any = None
        self._compiling = threading.Lock()
        computed = latency.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.name = f"openvino cpu {'int8' if weights.int8 else computed}"

    def features(self, pixels: Pixels) -> Vectors:
        return (self._single if len(pixels) == 1 else self._several).run(pixels)

    def bulk(self, pixels: Pixels) -> Vectors:
        return self._many.run(pixels)

    @cached_property
    def _several(self) -> _Queue:
        return _Queue(self._compiled_for_throughput())

    @cached_property
    def _many(self) -> _Queue:
        return _Queue(self._compiled_for_throughput())

    def _compiled_for_throughput(self) -> Any:
        """Once, and not before it is needed: it takes a second, and memory for the weights."""
        with self._compiling:
            self._throughput = self._throughput or self._compiled("THROUGHPUT")
            return self._throughput

    def _compiled(self, hint: str) -> Any:
        options = {"PERFORMANCE_HINT": hint}
        if self._precision in _OPENVINO_TYPES:
            options["INFERENCE_PRECISION_HINT"] = _OPENVINO_TYPES[self._precision]
        return self._core.compile_model(self._model, "CPU", options)

    def _read_int8(self, path: Path) -> Any:
        try:
            return self._core.read_model(path)
        except RuntimeError as error:
            raise WeightsUnavailable(
                f"The int8 model {str(path)!r} can't be read: {error}. It can't be made again as it"
                " was: restore it, or begin a new gallery."
            ) from error


class _Queue:
    """A compiled model's requests, for one thread."""

    def __init__(self, compiled: Any) -> None:
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


def openvino_model(weights: Weights, cache_dir: Path, variant: Network = OWN) -> Any:
    """OpenVINO's model of (1, 224, 224, 3) uint8 RGB -> (1, 2048), converted once and then kept.

    Raises WeightsUnavailable, StorageUnavailable.
    """
    path = cache_dir / _saved_name(weights, variant)
    if path.exists():
        try:
            return _openvino().Core().read_model(path)
        except RuntimeError as error:
            log.warning("The saved model %s can't be read, making it again: %s", path, error)
    model = _converted(_network(weights, variant), variant.size)
    save_model(model, path)
    return model


def _saved_name(weights: Weights, variant: Network) -> str:
    parts = [f"resnet50-{weights.fingerprint}"]
    parts += [variant.pooling] if variant.pooling != OWN.pooling else []
    parts += [str(variant.size)] if variant.size != OWN.size else []
    return f"{'-'.join(parts)}.xml"


def _converted(network: torch.nn.Module, size: int) -> Any:
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


def save_model(model: Any, path: Path) -> None:
    """Save as `path` (.xml) and a .bin; the .xml last, so that its .bin is complete.

    Raises StorageUnavailable.
    """
    try:
        with atomic_write(path) as partial:
            _openvino().save_model(model, partial, compress_to_fp16=False)
            partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
    except (OSError, RuntimeError) as error:
        raise StorageUnavailable(f"The model can't be saved to {path}: {error}.") from error
