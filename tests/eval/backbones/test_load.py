from __future__ import annotations

import sys
import types

import pytest
import torch

from eval.backbones.load import load_backbone
from eval.errors import WorkbenchError

NAME = "torchvision:mobilenet_v3_small"


def test_untrained_weights_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, again = (load_backbone(NAME, "untrained") for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert first.weights.fingerprint == again.weights.fingerprint
    assert first.description == again.description
    assert (first.weights.name, first.weights.is_trained) == ("untrained", False)
    other = load_backbone("torchvision:shufflenet_v2_x0_5", "untrained")
    assert other.weights.fingerprint != first.weights.fingerprint


def test_what_is_done_is_described() -> None:
    found = load_backbone(NAME, "untrained")
    assert found.description["network"] == NAME
    assert found.description["input"] == "224 × 224 px"
    assert "crop_size=[224]" in found.description["pre-processing"]
    assert found.description["package"].startswith("torchvision 0.")


@pytest.mark.parametrize(
    ("library", "package"), [("timm", "timm"), ("open_clip", "open_clip_torch")]
)
def test_a_library_that_is_not_installed_is_named_with_the_command(
    library: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"eval.backbones.{library}_models", raising=False)
    with pytest.raises(WorkbenchError, match=f"isn't installed: pip install {package}$"):
        load_backbone(f"{library}:model", "untrained")


def test_any_error_of_a_library_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("first\nsecond")

    module = types.ModuleType("eval.backbones.timm_models")
    module.load = fail  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eval.backbones.timm_models", module)
    with pytest.raises(WorkbenchError, match="--backbone timm:x can't be loaded: ") as raised:
        load_backbone("timm:x", "auto")
    assert "\n" not in str(raised.value)
