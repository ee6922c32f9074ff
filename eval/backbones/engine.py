"""Runs a network on torch: bogv's `Engine` for networks of other libraries. Imports torch."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from bogv.errors import EngineFailed
from bogv.records import Vectors
from eval.embedding.backbone import Inputs, Transform
from eval.errors import WorkbenchError


class TorchFeatures:
    """A network in fp32, on CUDA where there is a card, else on the CPU."""

    batch = 16

    def __init__(self, module: torch.nn.Module) -> None:
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = f"torch {self._device}"
        self._module = module.to(self._device).float().eval()

    def compute(self, pixels: Inputs) -> Vectors:
        """(n, 3, h, w) float32 -> (n, dimension) float32, not normalised.

        Raises WorkbenchError for a network that gives something else.
        """
        with torch.inference_mode():
            found = self._module(torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device))
        if not isinstance(found, torch.Tensor) or found.ndim != 2 or len(found) != len(pixels):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise WorkbenchError(f"it gives no vector for an image, but {shape}")
        features: Vectors = found.float().cpu().numpy()
        return features

    def compute_bulk(self, pixels: Inputs) -> Vectors:
        """As `compute`, for any number of images."""
        size = self.batch
        parts = [self.compute(pixels[at : at + size]) for at in range(0, len(pixels), size)]
        return np.concatenate(parts)

    def compute_maps(self, pixels: Inputs) -> Vectors:  # noqa: ARG002 - the protocol's
        """Raises EngineFailed: where another network has its feature maps isn't known."""
        raise EngineFailed("Where another network has its feature map is not known.")


def as_transform(transform: Callable[[Image.Image], torch.Tensor], side: int) -> Transform:
    """A library's pre-processing as one that gives an array."""

    def apply(image: Image.Image) -> Inputs:
        seen: Inputs = transform(image).numpy()
        return seen.astype(np.float32)

    return Transform(apply, side)


def describe(transform: object) -> str:
    """A pre-processing in one line, the same in each process."""
    return " ".join(re.sub(r" at 0x[0-9a-f]+", "", repr(transform)).split())
