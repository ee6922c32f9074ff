"""torchvision's classification networks: `torchvision:NAME`, or `torchvision:NAME/WEIGHTS`.

Imports torch.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from torchvision import models

from bogv.embedding.weight_files import COMMAND, fetch_torchvision, name_of, torch_folder
from bogv.files import file_digest
from eval.backbones.network import Network, WeightsChoice, blank_input, remove_classifier
from eval.errors import WorkbenchError

MAX_BYTES = 4_000_000_000
"""Of a file of weights; the largest, of `vit_h_14`, has 2.5 GB."""


def load(model: str, choice: WeightsChoice) -> Network:
    """model: a name of `torchvision.models.list_models()`, with `/IMAGENET1K_V1` for other weights
    than its DEFAULT; also without training, they give the pre-processing.

    Raises WorkbenchError, WeightsUnavailable, what torch raises.
    """
    name, _, version = model.partition("/")
    names = models.list_models(module=models)
    if name not in names:
        raise WorkbenchError(f"there is no such classification network{_similar(name, names)}")
    own = _own_weights(name, version)
    if choice.trained:
        _fetch_verified(own.url)
    weights = own if choice.trained else None
    module = models.get_model(name, weights=weights, **_arguments(name, own))
    choice.load(module)
    transform = own.transforms()
    layer = remove_classifier(module.eval(), blank_input(transform))
    return Network(module, transform, choice.name(own.name.lower().replace("_", "-")), layer)


def _similar(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, 3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _own_weights(name: str, version: str) -> Any:
    weights: Any = models.get_model_weights(name)
    if version and version not in weights.__members__:
        there = ", ".join(weights.__members__)
        raise WorkbenchError(f"there are no weights {version}; there are {there}")
    return weights[version or "DEFAULT"]


def _arguments(name: str, own: Any) -> dict[str, Any]:
    """What torchvision sets with the weights: without them, too, a network has to fit the
    pre-processing."""
    if name.startswith("vit_"):
        return {"image_size": own.meta["min_size"][0]}
    return {"transform_input": True} if name in {"googlenet", "inception_v3"} else {}


def _fetch_verified(url: str) -> None:
    """Into torch's download cache, where torchvision finds the file and doesn't check it again."""
    path = torch_folder() / name_of(url)
    if not path.is_file():
        fetch_torchvision(url, COMMAND, MAX_BYTES)
    expected = path.stem.rsplit("-", 1)[1]
    if not (digest := file_digest(path)).startswith(expected):
        raise WorkbenchError(
            f"the weights {str(path)!r} are damaged: their SHA-256 begins with {digest[:8]}, not"
            f" with {expected}"
        )
