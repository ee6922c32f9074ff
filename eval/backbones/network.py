"""What a library gives of a network, and how its classifier is taken off. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bogv.embedding.weights import UNTRAINED
from eval.errors import WorkbenchError

BLANK = (640, 480)
"""Width and height of a black image, to see what a network makes of one."""


@dataclass(frozen=True)
class Network:
    """A network whose output are its features."""

    module: torch.nn.Module
    """(n, 3, h, w) float32 -> (n, dimension)."""
    transform: Callable[[Image.Image], torch.Tensor]
    """The network's own: an upright RGB image -> (3, h, w) float32."""
    weights: str
    """Their name."""
    layer: str
    """What the features are, for people."""


@dataclass(frozen=True)
class WeightsChoice:
    """`--weights` of another network: its own trained ones, none, or those of a file."""

    text: str

    @property
    def trained(self) -> bool:
        """Whether the library is to get its own."""
        return self.text in {"auto", "imagenet"}

    def load(self, module: torch.nn.Module) -> None:
        """Load a file's state dict, if that is the choice, into the whole network, with its
        classifier. Raises what torch does."""
        if not self.trained and self.text != UNTRAINED:
            state = torch.load(Path(self.text), map_location="cpu", weights_only=True)
            module.load_state_dict(state)

    def name(self, own: str) -> str:
        """The weights' name. own: of the library's."""
        return own if self.trained else UNTRAINED if self.text == UNTRAINED else "custom"


def blank_input(transform: Callable[[Image.Image], torch.Tensor]) -> torch.Tensor:
    """(1, 3, h, w): a black image through a network's pre-processing."""
    return transform(Image.new("RGB", BLANK)).unsqueeze(0)


def remove_classifier(module: torch.nn.Module, image: torch.Tensor) -> str:
    """Replace the last linear layer by identity, so that the output is what went into it.

    Where the classifier is a convolution of 1 × 1 (SqueezeNet), it is that one. What is replaced
    has to be what gives the classes. module: in its mode for inference. image: (1, 3, h, w).
    Returns a sentence that says what was done. Raises WorkbenchError for a network whose classifier
    is no such layer.
    """
    layers = [
        (name, each)
        for name, each in module.named_modules()
        if isinstance(each, torch.nn.Linear | torch.nn.Conv2d)
    ]
    if not layers:
        raise WorkbenchError("it has no linear layer and no convolution to take off")
    name, last = layers[-1]
    inputs, outputs = _sizes(last)
    before = _run(module, image)
    if before.shape != (1, outputs):
        raise WorkbenchError(
            f"its last layer, {name}, gives {outputs:,} numbers, but the network"
            f" {tuple(before.shape)}: the classifier can't be told"
        )
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, torch.nn.Identity())
    after = _run(module, image)
    if after.shape != (1, inputs):
        raise WorkbenchError(
            f"without its last layer, {name}, it gives {tuple(after.shape)} instead of"
            f" {inputs:,} features"
        )
    kind = type(last).__name__
    return f"what goes into {name} ({kind}, {inputs:,} to {outputs:,}), which is taken off"


def _sizes(layer: torch.nn.Linear | torch.nn.Conv2d) -> tuple[int, int]:
    if isinstance(layer, torch.nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


def _run(module: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: Any = module(image)
    if not isinstance(found, torch.Tensor):
        raise WorkbenchError(f"it gives a {type(found).__name__}, no vector")
    return found
