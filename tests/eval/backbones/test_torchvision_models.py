from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import models

from bogv.embedding.embedder import Embedder
from bogv.embedding.engines import TorchEngine
from bogv.embedding.weights import resolve
from bogv.imaging.decoder import Decoder
from eval.backbones.load import load_backbone
from eval.backbones.network import WeightsChoice, blank_input, remove_classifier
from eval.backbones.torchvision_models import load
from eval.errors import WorkbenchError
from tests.support.fakes import png

DECODER = Decoder(1_000_000, 1_000_000)
SMALL = "mobilenet_v3_small"


@pytest.mark.parametrize(
    ("name", "dimension"),
    [(SMALL, 1024), ("mnasnet0_5", 1280), ("shufflenet_v2_x0_5", 1024), ("squeezenet1_1", 512)],
)
def test_a_small_network_gives_the_features_before_its_classifier(
    name: str, dimension: int
) -> None:
    found = load_backbone(f"torchvision:{name}", "untrained")
    seen = np.stack([found.prepare(png(seed), DECODER) for seed in range(2)])
    vectors = found.embed(seen)
    assert vectors.shape == (2, dimension) == (2, found.dimension)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert not np.array_equal(vectors[0], vectors[1])
    assert "which is taken off" in found.description["features"]


def test_resnet50_gives_what_bogvs_own_network_gives() -> None:
    found = load_backbone("torchvision:resnet50/IMAGENET1K_V1", "untrained")
    own = Embedder(weights := resolve("untrained"), TorchEngine(weights, "fp32"))
    seen = np.stack([found.prepare(png(seed), DECODER) for seed in range(2)])
    pixels = np.stack([DECODER.decode(png(seed)).pixels for seed in range(2)])
    cosines = (found.embed(seen) * own.embed(pixels)).sum(axis=1)
    assert (cosines > 0.99999).all()  # pixels differ by 1 of 255 at most


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("name", ["vit_b_16/IMAGENET1K_SWAG_E2E_V1", "googlenet", "vit_b_32"])
def test_an_untrained_network_fits_the_pre_processing_of_its_weights(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for init in ("trunc_normal_", "xavier_uniform_", "normal_", "kaiming_uniform_"):
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *_, **__: tensor)  # saves seconds
    found = load(name, WeightsChoice("untrained"))
    image = blank_input(found.transform)
    assert found.module.to("meta")(image.to("meta")).shape[0] == 1


def test_trained_weights_come_from_torchs_cache_and_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of the real ones, which can't be downloaded, a file of the same structure."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    own = models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.value
    state = models.mobilenet_v3_small(weights=None).state_dict()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, tmp_path / "state.pth")
    data = (tmp_path / "state.pth").read_bytes()
    name = f"small-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    monkeypatch.setattr(own, "url", f"http://127.0.0.1:9/{name}")
    (folder / name).write_bytes(data)
    found = load(SMALL, WeightsChoice("auto"))
    assert found.weights == "imagenet1k-v1"
    loaded = found.module.state_dict()
    assert all(torch.equal(state[key], value) for key, value in loaded.items())
    (folder / name).write_bytes(data[:-1] + b"x")
    with pytest.raises(WorkbenchError, match="are damaged: their SHA-256 begins with"):
        load(SMALL, WeightsChoice("auto"))
    (folder / name).unlink()
    with pytest.raises(WorkbenchError, match=r"^--backbone .* can't be downloaded from http"):
        load_backbone(f"torchvision:{SMALL}", "imagenet")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mobilenet_v3_smal", "did you mean mobilenet_v3_small"),
        ("fasterrcnn_resnet50_fpn", "no such classification network"),
        ("resnet18/V9", "there are no weights V9; there are IMAGENET1K_V1"),
    ],
)
def test_what_torchvision_does_not_have_is_one_clear_error(name: str, message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        load(name, WeightsChoice("untrained"))


def test_a_file_of_weights_is_of_the_whole_network(tmp_path: Path) -> None:
    state = models.mobilenet_v3_small(weights=None).state_dict()
    torch.save(state, tmp_path / "w.pth")
    found = load(SMALL, WeightsChoice(str(tmp_path / "w.pth")))
    assert found.weights == "custom"
    assert torch.equal(
        found.module.state_dict()["features.0.0.weight"], state["features.0.0.weight"]
    )
    torch.save({"x": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(WorkbenchError, match=r"can't be loaded: Error.* in loading state_dict"):
        load_backbone(f"torchvision:{SMALL}", str(tmp_path / "w.pth"))


def test_a_transformer_loses_its_head() -> None:
    with torch.device("meta"):
        module = models.swin_t(weights=None).eval()
        done = remove_classifier(module, torch.zeros(1, 3, 224, 224))
    assert done.startswith("what goes into head (Linear, 768 to 1,000)")
