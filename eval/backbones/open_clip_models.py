"""open_clip's networks, where it is installed: `open_clip:MODEL/PRETRAINED`."""

from __future__ import annotations

import open_clip
import torch

from eval.backbones.network import Network, WeightsChoice
from eval.errors import WorkbenchError


class ImageTower(torch.nn.Module):
    """The part of a CLIP network that embeds images."""

    def __init__(self, clip: torch.nn.Module) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(n, 3, h, w) -> (n, dimension)."""
        found: torch.Tensor = self.clip.encode_image(images)  # type: ignore[operator]
        return found


def load(model: str, choice: WeightsChoice) -> Network:
    """model: a name and a tag of `open_clip.list_pretrained()`; untrained, the tag may be missing.

    Raises WorkbenchError, what open_clip and torch raise.
    """
    name, _, tag = model.rpartition("/") if "/" in model else (model, "", "")
    if name not in open_clip.list_models():
        raise WorkbenchError(
            f"there is no such network; there are {_listed(open_clip.list_models())}"
        )
    tags = open_clip.list_pretrained_tags_by_model(name)
    if (tag or choice.trained) and tag not in tags:
        raise WorkbenchError(f"name its weights as {name}/TAG; there are {_listed(tags)}")
    module, _, transform = open_clip.create_model_and_transforms(
        name, pretrained=tag if choice.trained else None
    )
    choice.load(module)
    layer = "the image's embedding (encode_image), which is compared with texts'"
    return Network(ImageTower(module), transform, choice.name(tag), layer)


def _listed(names: list[str]) -> str:
    return ", ".join(names) or "none"
