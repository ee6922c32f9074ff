"""ResNet50's parameters, from torch's files and from safetensors, and the hash of their numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bogv.embedding.safetensors import read_safetensors
from bogv.errors import WeightsUnavailable

Numbers = dict[str, NDArray[np.float32]]
"""Parameters and running statistics by name."""

_BLOCKS = ((3, 64), (4, 128), (6, 256), (3, 512))


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The shapes of torchvision's ResNet50 without its classifier; timm's has the same names."""

    def normalisation(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        for each in ("weight", "bias", "running_mean", "running_var"):
            yield f"{name}.{each}", (channels,)

    yield "conv1.weight", (64, 3, 7, 7)
    yield from normalisation("bn1", 64)
    inputs = 64
    for layer, (blocks, width) in enumerate(_BLOCKS, start=1):
        for block in range(blocks):
            name, outputs = f"layer{layer}.{block}", 4 * width
            if block == 0:
                yield f"{name}.downsample.0.weight", (outputs, inputs, 1, 1)
                yield from normalisation(f"{name}.downsample.1", outputs)
            for at, shape in enumerate(
                ((width, inputs, 1, 1), (width, width, 3, 3), (outputs, width, 1, 1)), start=1
            ):
                yield f"{name}.conv{at}.weight", shape
                yield from normalisation(f"{name}.bn{at}", shape[0])
            inputs = outputs


SHAPES = dict(_shapes())


def read_state_dict(path: Path) -> Numbers:
    """The numbers that determine the features: without the classifier and without the counts of
    training batches.

    As float32, the type in which the network holds them. path: safetensors if its name ends so,
    else a file of `torch.save`. All shapes are ResNet50's, and all numbers finite. Raises
    WeightsUnavailable.
    """
    read = read_safetensors if path.suffix == ".safetensors" else _read_torch
    try:
        numbers = {name: values for name, values in read(path).items() if _is_used(name)}
        _check(numbers)
    except Exception as error:  # reading torch's files may raise any exception
        raise WeightsUnavailable(
            f"{str(path)!r} is not a state dict of torchvision's ResNet50: {error}."
        ) from error
    return numbers


def digest_numbers(numbers: Numbers) -> str:
    """The SHA-256 of names, shapes and little-endian values, whatever file they come from."""
    digest = hashlib.sha256()
    for name in sorted(numbers):
        values = np.ascontiguousarray(numbers[name], "<f4")
        digest.update(json.dumps([name, "float32", values.shape]).encode() + b"\n")
        digest.update(values.data)
    return digest.hexdigest()


def _is_used(name: str) -> bool:
    return not name.startswith("fc.") and not name.endswith(".num_batches_tracked")


def _read_torch(path: Path) -> Numbers:
    import torch

    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.detach().float().numpy() for name, tensor in tensors.items()}


def _check(numbers: Numbers) -> None:
    if wrong := sorted(numbers.keys() ^ SHAPES.keys()):
        names = ", ".join(name[:80] for name in wrong[:3])
        raise ValueError(f"{len(wrong)} names are missing or too many ({names})")
    for name, values in numbers.items():
        if values.shape != SHAPES[name]:
            raise ValueError(f"{name} has the shape {values.shape}, not {SHAPES[name]}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has numbers that are not finite")
