"""Another network as an embedder, by its name: `run --backbone`."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

from bogv.embedding.weights import Weights
from bogv.errors import BogvError
from eval.embedding.backbone import Backbone
from eval.errors import WorkbenchError

if TYPE_CHECKING:
    import torch

PIP = {"torchvision": "torchvision", "timm": "timm", "open_clip": "open_clip_torch"}
"""The package of each library, as pip knows it."""
SEED = 0
"""Of untrained weights, as bogv's own."""
REASON = 300
"""Characters of a library's own error."""


def load_backbone(name: str, weights: str) -> Backbone:
    """An embedder of another network. Imports torch.

    name: `<library>:<model>`. weights: `auto` or `imagenet`, its own trained ones; `untrained`;
    else the path of a state dict. Nothing takes the place of weights that can't be had.

    Raises WorkbenchError where the library isn't installed, has no such network, or can't get the
    weights, and for a network that doesn't give a vector for an image.
    """
    library, _, model = name.partition(":")
    with _naming(name, library):
        # torch is imported only now; a library that isn't installed fails here.
        loader = import_module(f"eval.backbones.{library}_models")
        from eval.backbones import engine, network

        with _seeded():
            found = loader.load(model, network.WeightsChoice(weights))
        found.module.eval()
        image = network.blank_input(found.transform)
        made = engine.TorchFeatures(found.module)
        dimension = made.compute(image.numpy()).shape[1]
        return Backbone(
            weights=Weights(found.weights, None, _fingerprint(name, found.layer, found.module)),
            engine=made,
            transform=engine.as_transform(found.transform, max(image.shape[2:])),
            dimension=dimension,
            description={
                "network": name,
                "features": found.layer,
                "dimension": str(dimension),
                "input": f"{image.shape[2]} × {image.shape[3]} px",
                "pre-processing": engine.describe(found.transform),
                "package": f"{PIP[library]} {version(PIP[library])}",
            },
        )


@contextmanager
def _naming(name: str, library: str) -> Iterator[None]:
    """Any error in one line that names the network; libraries raise of every type."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = PIP.get(library, library) if error.name == library else error.name
        raise WorkbenchError(
            f"--backbone {name} needs a package that isn't installed: pip install {missing}"
        ) from error
    except (WorkbenchError, BogvError) as error:
        raise WorkbenchError(f"--backbone {name}: {str(error).removesuffix('.')}.") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:REASON] or type(error).__name__
        raise WorkbenchError(f"--backbone {name} can't be loaded: {reason}") from error


@contextmanager
def _seeded() -> Iterator[None]:
    """Random weights by SEED alone, and without what libraries have to say about making them."""
    import torch

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(SEED)
        yield


def _fingerprint(name: str, layer: str, module: torch.nn.Module) -> str:
    """12 hex digits: of the architecture, the layer and every weight. The pre-processing is in the
    canonical embedding, with the libraries' versions."""
    digest = hashlib.sha256(json.dumps([name, layer]).encode())
    for key, tensor in sorted(module.state_dict().items()):
        digest.update(f"{key} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
