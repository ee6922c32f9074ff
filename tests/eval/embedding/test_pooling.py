from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bogv.embedding.embedder import load_embedder
from bogv.embedding.engines import DEFAULT_NETWORK as OWN_NETWORK
from bogv.embedding.weights import resolve
from bogv.imaging.decode import network_input
from bogv.records import Pixels
from eval.embedding.settings import EmbeddingSettings, network_of
from tests.support.fakes import picture


def feature_map(pixels: Pixels) -> Any:
    """(n, 2048, h, w), as the network has it before it pools."""
    import torch

    from bogv.embedding.engines import MEAN, STD, _load_network

    network = _load_network(resolve("untrained"), OWN_NETWORK)
    network.avgpool = torch.nn.Identity()
    scaled = (torch.from_numpy(pixels).float() - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.inference_mode():
        flat = network(scaled.permute(0, 3, 1, 2))
    return flat.numpy().reshape(len(pixels), 2048, -1)


@pytest.mark.parametrize("pooling", ["gem", "mac"])
def test_poolings_follow_the_papers_formulas(pooling: Any, pixels: Pixels, tmp_path: Path) -> None:
    network = network_of(EmbeddingSettings(pooling=pooling))
    embedder = load_embedder(resolve("untrained"), "torch", tmp_path, network=network)
    features = feature_map(pixels).astype(np.float64)
    pooled = features.max(-1) if pooling == "mac" else np.cbrt((features**3).mean(-1))
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    assert np.abs(embedder.embed(pixels) - expected).max() < 1e-4


def test_openvino_agrees_with_torch_and_keeps_its_model(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    weights = resolve("untrained")
    network = network_of(EmbeddingSettings(pooling="gem", size=448))
    large = np.stack([network_input(picture(seed), 448) for seed in range(2)])
    found = load_embedder(weights, "openvino", tmp_path, network=network).embed(large)
    expected = load_embedder(weights, "torch", tmp_path, network=network).embed(large)
    assert (found * expected).sum(axis=1).min() > 0.999
    saved = {path.name for path in tmp_path.glob("*.xml")}
    assert saved == {f"resnet50-{weights.fingerprint}-gem-448.xml"}
