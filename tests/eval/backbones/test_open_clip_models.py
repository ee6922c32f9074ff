from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch
from torchvision.transforms.functional import to_tensor

from eval.backbones.load import load_backbone
from eval.errors import WorkbenchError


class Clip(torch.nn.Module):
    """The part of open_clip's networks that is used here."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = torch.nn.Conv2d(3, 6, 3)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return self.visual(images).mean(dim=(2, 3))  # type: ignore[no-any-return]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """A small module in the place of open_clip; the networks made."""
    calls: list[tuple[str, str | None]] = []

    def create(name: str, *, pretrained: str | None) -> tuple[Clip, None, Any]:
        calls.append((name, pretrained))
        return Clip(), None, to_tensor

    module: Any = types.ModuleType("open_clip")
    module.list_models = lambda: ["ViT-S"]
    module.list_pretrained_tags_by_model = lambda _: ["laion"]
    module.create_model_and_transforms = create
    monkeypatch.setitem(sys.modules, "open_clip", module)
    monkeypatch.delitem(sys.modules, "eval.backbones.open_clip_models", raising=False)
    monkeypatch.setattr("eval.backbones.load.version", lambda _: "0.0")
    return calls


def test_a_network_gives_the_embedding_of_the_image(made: list[tuple[str, str | None]]) -> None:
    found = load_backbone("open_clip:ViT-S/laion", "auto")
    assert (found.dimension, found.weights.name) == (6, "laion")
    for name in ("open_clip:ViT-S", "open_clip:ViT-S/laion"):
        assert load_backbone(name, "untrained").weights.name == "untrained"
    assert made == [("ViT-S", "laion"), ("ViT-S", None), ("ViT-S", None)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-X/laion", "no such network; there are ViT-S"),
        ("ViT-S", "name its weights as ViT-S/TAG; there are laion"),
        ("ViT-S/nix", "name its weights as ViT-S/TAG; there are laion"),
    ],
)
def test_what_open_clip_does_not_have_is_one_clear_error(
    made: list[tuple[str, str | None]], name: str, message: str
) -> None:
    with pytest.raises(WorkbenchError, match=message):
        load_backbone(f"open_clip:{name}", "auto")
    assert made == []
