"""The engines that run ResNet50: OpenVINO on CPUs, torch on CUDA and Apple GPUs or without
OpenVINO.

torch is imported only to run or convert the network, not if a converted model has been saved.
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
from bogv.embedding.state_dict import read_state_dict
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
    """A variant of the network, for benchmarks; the defaults are what bogv uses."""

    size: int = INPUT_SIZE
    """Height and width of the input, pixels."""
    pooling: str = "gap"
    """The name of the pooling, part of the saved model's file name."""
    pool: Callable[[], torch.nn.Module] | None = None
    """Makes the module (n, 2048, h, w) -> (n, 2048, 1, 1); None: global average pooling."""


DEFAULT_NETWORK = Network()


class Engine(Protocol):
    name: str
    batch: int
    """The maximum number of images for `compute`; larger batches are no faster per image."""

    def compute(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 2048) float32, not normalised. Not thread-safe."""

    def compute_bulk(self, pixels: Pixels) -> Vectors:
        """As `compute`, for any number of images. Not thread-safe, but it may run at the same time
        as `compute` in another thread."""

    def compute_maps(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 RGB -> (n, 7, 7, 2048) float32: the last feature map, of which
        `compute` returns the mean over the places. Not thread-safe, but it may run at the same time
        as the others in another thread."""


def has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def has_gpu() -> bool:
    """Whether torch has a GPU; torch is imported, which takes seconds, only if there may be one."""
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
    """Whether the GPU computes in bf16 faster than in fp32; False for the CPU."""
    import torch

    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _load_network(weights: Weights, variant: Network) -> torch.nn.Module:
    """ResNet50 without its classifier: (n, 3, 224, 224) normalised float -> (n, 2048)."""
    import torch
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights.seed)
        network = resnet50(weights=None)
    network.fc = torch.nn.Identity()
    if weights.path is not None:
        numbers = read_state_dict(weights.path)
        tensors = {name: torch.from_numpy(values) for name, values in numbers.items()}
        # Not strict: the counts of training batches are missing. All other names are checked.
        network.load_state_dict(tensors, strict=False)
    if variant.pool is not None:
        network.avgpool = variant.pool()
    network.eval()
    return network  # type: ignore[no-any-return]


class TorchEngine:
    """torch on the best device: CUDA, Apple's GPU, or the CPU."""

    batch = 64

    def __init__(
        self, weights: Weights, precision: Precision, variant: Network = DEFAULT_NETWORK
    ) -> None:
        import torch

        self._torch = torch
        self._device = _device()
        self._bf16 = precision == "bf16" or (precision == "auto" and _has_bf16(self._device))
        self.name = f"torch {self._device}{' bf16' if self._bf16 else ''}"
        layout = torch.channels_last
        network = _load_network(weights, variant)
        self._network = network.to(self._device, memory_format=layout)  # type: ignore[call-overload]
        self._mean = torch.tensor(MEAN, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(STD, device=self._device).view(1, 3, 1, 1)

    def compute_bulk(self, pixels: Pixels) -> Vectors:
        size = self.batch
        parts = [self.compute(pixels[at : at + size]) for at in range(0, len(pixels), size)]
        return np.concatenate(parts)

    def compute(self, pixels: Pixels) -> Vectors:
        reduced = self._torch.autocast(self._device, self._torch.bfloat16, enabled=self._bf16)
        with self._torch.inference_mode(), reduced:
            features: Vectors = self._network(self._input(pixels)).float().cpu().numpy()
        return features

    def compute_maps(self, pixels: Pixels) -> Vectors:
        layers = self._torch.nn.Sequential(*list(self._network.children())[:-2])  # shares weights
        reduced = self._torch.autocast(self._device, self._torch.bfloat16, enabled=self._bf16)
        with self._torch.inference_mode(), reduced:
            maps: Vectors = layers(self._input(pixels)).permute(0, 2, 3, 1).float().cpu().numpy()
        return maps

    def _input(self, pixels: Pixels) -> torch.Tensor:
        batch = self._torch.tensor(pixels)
        if self._device == "cuda":
            batch = batch.pin_memory()  # for an asynchronous copy to the GPU
        # NHWC permuted to NCHW has torch's channels_last layout.
        batch = batch.to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return (batch.float() - self._mean) / self._std


_OPENVINO_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """OpenVINO on the CPU: a single image runs on all cores, several run in parallel streams."""

    batch = 8

    def __init__(
        self,
        weights: Weights,
        cache_dir: Path,
        precision: Precision,
        variant: Network = DEFAULT_NETWORK,
    ) -> None:
        self._core = _import_openvino().Core()
        self._precision = precision
        if precision == "bf16" and "BF16" not in self._core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise EngineFailed(
                "This CPU doesn't support bf16: set BOGV_PRECISION to auto, fp32 or int8."
            )
        if weights.int8 is None:
            self._model = openvino_model(weights, cache_dir, variant)
        else:
            self._model = self._read_int8(weights.int8)
        latency_model = self._compile("LATENCY")
        self._single_queue = _InferQueue(latency_model)
        self._throughput_model: Any = None
        self._compile_lock = threading.Lock()
        computed = latency_model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.name = f"openvino cpu {'int8' if weights.int8 else computed}"

    def compute(self, pixels: Pixels) -> Vectors:
        return (self._single_queue if len(pixels) == 1 else self._batch_queue).run(pixels)

    def compute_bulk(self, pixels: Pixels) -> Vectors:
        return self._bulk_queue.run(pixels)

    def compute_maps(self, pixels: Pixels) -> Vectors:
        maps = [self._map_model(each[np.newaxis])[0][0] for each in pixels]
        return np.stack(maps).astype(np.float32).transpose(0, 2, 3, 1)

    @cached_property
    def _map_model(self) -> Any:
        """The network up to its pooling. Compiled on first use: few processes explain a score, and
        it takes memory for a copy of the weights."""
        output = self._model.output(0)
        while len(output.get_partial_shape()) != 4:  # back from the pooled (1, 2048)
            output = output.get_node().input_value(0)
        while output.get_shape()[-1] == 1:
            output = output.get_node().input_value(0)
        before_pooling = _import_openvino().Model([output], self._model.get_parameters())
        return self._compile("LATENCY", before_pooling)

    @cached_property
    def _batch_queue(self) -> _InferQueue:
        return _InferQueue(self._compile_for_throughput())

    @cached_property
    def _bulk_queue(self) -> _InferQueue:
        return _InferQueue(self._compile_for_throughput())

    def _compile_for_throughput(self) -> Any:
        """Compile once, on first use: it takes a second, and memory for a copy of the weights."""
        with self._compile_lock:
            self._throughput_model = self._throughput_model or self._compile("THROUGHPUT")
            return self._throughput_model

    def _compile(self, hint: str, model: Any = None) -> Any:
        options = {"PERFORMANCE_HINT": hint}
        if self._precision in _OPENVINO_TYPES:
            options["INFERENCE_PRECISION_HINT"] = _OPENVINO_TYPES[self._precision]
        return self._core.compile_model(model or self._model, "CPU", options)

    def _read_int8(self, path: Path) -> Any:
        try:
            return self._core.read_model(path)
        except RuntimeError as error:
            raise WeightsUnavailable(
                f"The int8 model {str(path)!r} can't be read: {error}. An identical one can't be"
                " made again: restore it from a backup, or start a new gallery."
            ) from error


class _InferQueue:
    """A compiled model's inference requests. Not thread-safe."""

    def __init__(self, compiled: Any) -> None:
        self._queue = _import_openvino().AsyncInferQueue(compiled)
        self._queue.set_callback(self._store)

    def run(self, pixels: Pixels) -> Vectors:
        """(n, 224, 224, 3) uint8 -> (n, 2048) float32."""
        out = np.empty((len(pixels), DIMENSION), np.float32)
        for index, image in enumerate(pixels):
            self._queue.start_async(image[np.newaxis], (out, index))
        self._queue.wait_all()
        return out

    @staticmethod
    def _store(request: Any, target: tuple[Vectors, int]) -> None:
        out, index = target
        out[index] = request.get_output_tensor().data[0]


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report each import and conversion."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def openvino_model(weights: Weights, cache_dir: Path, variant: Network = DEFAULT_NETWORK) -> Any:
    """OpenVINO's model of (1, 224, 224, 3) uint8 RGB -> (1, 2048), converted once and then saved.

    Raises WeightsUnavailable, StorageUnavailable.
    """
    path = cache_dir / _model_file_name(weights, variant)
    if path.exists():
        try:
            return _import_openvino().Core().read_model(path)
        except RuntimeError as error:
            log.warning("The saved model %s can't be read; converting again: %s", path, error)
    model = _convert(_load_network(weights, variant), variant.size)
    save_model(model, path)
    return model


def _model_file_name(weights: Weights, variant: Network) -> str:
    parts = [f"resnet50-{weights.fingerprint}"]
    parts += [variant.pooling] if variant.pooling != DEFAULT_NETWORK.pooling else []
    parts += [str(variant.size)] if variant.size != DEFAULT_NETWORK.size else []
    return f"{'-'.join(parts)}.xml"


def _convert(network: torch.nn.Module, size: int) -> Any:
    """torch module -> OpenVINO model of (1, size, size, 3) uint8, which includes normalisation."""
    import torch
    from openvino.preprocess import PrePostProcessor

    openvino = _import_openvino()
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
    """Save as `path` (.xml) and a .bin; the .xml last, so that an .xml always has its .bin.

    Raises StorageUnavailable.
    """
    try:
        with atomic_write(path) as partial:
            _import_openvino().save_model(model, partial, compress_to_fp16=False)
            partial.with_suffix(".bin").replace(path.with_suffix(".bin"))
    except (OSError, RuntimeError) as error:
        raise StorageUnavailable(f"The model can't be saved to {path}: {error}.") from error
