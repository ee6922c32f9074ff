from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import to_tensor

from eval.backbones.network import WeightsChoice, blank_input, remove_classifier
from eval.errors import WorkbenchError

IMAGE = torch.zeros(1, 3, 8, 8)


def flat(*last: torch.nn.Module) -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 6), *last).eval()


def test_what_goes_into_the_last_linear_layer_becomes_the_output() -> None:
    module = flat(torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(6, 4))
    image = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        expected = module[:3](image)
        done = remove_classifier(module, IMAGE)
        assert torch.equal(module(image), expected)
    assert done == "what goes into 4 (Linear, 6 to 4), which is taken off"


def test_a_classifier_that_is_a_convolution_is_taken_off_as_well() -> None:
    pool = torch.nn.AdaptiveAvgPool2d(1)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.Conv2d(5, 4, 1), pool)
    module.append(torch.nn.Flatten()).eval()
    assert "1 (Conv2d, 5 to 4)" in remove_classifier(module, IMAGE)
    assert module(IMAGE).shape == (1, 5)


class Several(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [self.layer(image)]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (torch.nn.Flatten(), "no linear layer and no convolution"),
        (flat(torch.nn.Linear(6, 4), torch.nn.Unflatten(1, (2, 2))), "classifier can't be told"),
        (torch.nn.Linear(8, 4), "the classifier can't be told"),
        (Several(), "it gives a list, no vector"),
    ],
)
def test_a_network_whose_classifier_cannot_be_told_is_refused(
    module: torch.nn.Module, message: str
) -> None:
    with pytest.raises(WorkbenchError, match=message):
        remove_classifier(module.eval(), IMAGE)


def test_features_of_another_shape_than_the_layers_input_are_refused() -> None:
    image = torch.zeros(1, 3, 1, 4)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, (1, 3)), torch.nn.Flatten())
    with pytest.raises(WorkbenchError, match="the network"):
        remove_classifier(module, image)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, (1, 4)), torch.nn.Flatten())
    with pytest.raises(WorkbenchError, match=r"it gives \(1, 12\) instead of 3 features"):
        remove_classifier(module, image)


def test_weights_are_the_librarys_own_none_or_a_files(tmp_path: Path) -> None:
    saved, module = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    torch.save(saved.state_dict(), tmp_path / "w.pth")
    names = {text: WeightsChoice(text).name("v1") for text in ("auto", "imagenet", "untrained")}
    assert names == {"auto": "v1", "imagenet": "v1", "untrained": "untrained"}
    before = module.weight.clone()
    WeightsChoice("untrained").load(module)
    assert torch.equal(module.weight, before)
    chosen = WeightsChoice(str(tmp_path / "w.pth"))
    chosen.load(module)
    assert torch.equal(module.weight, saved.weight)
    assert (chosen.trained, chosen.name("v1")) == (False, "custom")


def test_a_blank_image_goes_through_the_pre_processing() -> None:
    seen = blank_input(to_tensor)
    assert seen.shape == (1, 3, 480, 640)
    assert np.all(seen.numpy() == 0)
