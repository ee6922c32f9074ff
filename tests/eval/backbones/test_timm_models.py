from __future__ import annotations

import sys
import types
from typing import Any

import pytest
import torch
from torchvision.transforms.functional import to_tensor

from eval.backbones.load import load_backbone
from eval.errors import WorkbenchError


class Model(torch.nn.Module):
    """The parts of timm's networks that are used here."""

    def __init__(self) -> None:
        super().__init__()
        self.pretrained_cfg = {"tag": "a1_in1k"}
        self.trunk = torch.nn.Conv2d(3, 7, 3)
        self.fc: torch.nn.Module = torch.nn.Linear(7, 1000)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.trunk(images).mean(dim=(2, 3)))
        return found

    def reset_classifier(self, classes: int) -> None:
        assert classes == 0
        self.fc = torch.nn.Identity()


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A small module in the place of timm; the calls of create_model."""
    calls: list[dict[str, Any]] = []

    def create_model(name: str, *, pretrained: bool) -> Model:
        calls.append({"name": name, "pretrained": pretrained})
        if name == "offline":
            raise OSError("We couldn't connect\nto the hub.")
        return Model()

    module: Any = types.ModuleType("timm")
    module.create_model = create_model
    module.data = types.SimpleNamespace(
        resolve_model_data_config=lambda _: {"input_size": (3, 480, 640)},
        create_transform=lambda **_: to_tensor,
    )
    monkeypatch.setitem(sys.modules, "timm", module)
    monkeypatch.delitem(sys.modules, "eval.backbones.timm_models", raising=False)
    monkeypatch.setattr("eval.backbones.load.version", lambda _: "0.0")
    return calls


def test_a_network_gives_its_pooled_features(timm: list[dict[str, Any]]) -> None:
    found = load_backbone("timm:small", "untrained")
    assert timm == [{"name": "small", "pretrained": False}]
    assert (found.dimension, found.weights.name) == (7, "untrained")
    assert found.description["package"] == "timm 0.0"
    assert found.description["input"] == "480 × 640 px"
    assert load_backbone("timm:small", "auto").weights.name == "a1_in1k"
    assert timm[-1]["pretrained"]


def test_weights_that_cannot_be_had_are_one_line(timm: list[dict[str, Any]]) -> None:
    with pytest.raises(WorkbenchError, match=r"can't be loaded: We couldn't connect to the hub\."):
        load_backbone("timm:offline", "auto")
