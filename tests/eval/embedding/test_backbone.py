from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from bogv.embedding.weights import Weights
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding.backbone import Backbone, Inputs, Transform, dimension_of, prepare
from eval.embedding.embed import embed
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.selftest import made_up
from tests.support.fakes import fake_embedder, png

DECODER = Decoder(1_000_000, 1_000_000)
SETTINGS = EmbeddingSettings(backbone="torchvision:small")


def pictures(count: int) -> Dataset:
    made = made_up(["label"] * count)
    items = [Item(f"{n}.png", "label", partial(png, n)) for n in range(count)]
    return replace(made, items=items)


def small_input(image: Image.Image) -> Inputs:
    pixels = np.asarray(image.resize((6, 4)), np.float32) / 255
    return pixels.transpose(2, 0, 1)


class Small:
    """What it sees, as it is."""

    name = "small"
    batch = 2

    def compute(self, pixels: Inputs) -> Vectors:
        vectors: Vectors = pixels.reshape(len(pixels), -1)
        return vectors

    compute_bulk = compute

    def compute_maps(self, pixels: Inputs) -> Vectors:
        raise NotImplementedError


def backbone(fingerprint: str = "fa") -> Backbone:
    weights = Weights("custom", None, fingerprint)
    return Backbone(weights, Small(), Transform(small_input, 6), 72, {"network": "small"})


def test_another_network_sees_its_own_input_and_bogvs_its_own() -> None:
    seen = prepare(backbone(), png(1), DECODER, SETTINGS)
    assert (seen.shape, str(seen.dtype)) == ((3, 4, 6), "float32")
    mirrored = prepare(backbone(), png(1), DECODER, SETTINGS, mirror=True)
    assert np.array_equal(mirrored, seen[:, :, ::-1])
    own = prepare(fake_embedder(), png(1), DECODER, OWN_SETTINGS)
    assert (own.shape, str(own.dtype)) == ((224, 224, 3), "uint8")
    assert (dimension_of(backbone()), dimension_of(fake_embedder())) == (72, 2048)


def test_its_embeddings_are_cached_apart_from_bogvs_and_other_weights(tmp_path: Path) -> None:
    dataset = pictures(3)
    found = embed(dataset, backbone(), DECODER, tmp_path, settings=SETTINGS, progress=False)
    again = embed(dataset, backbone(), DECODER, tmp_path, settings=SETTINGS, progress=False)
    assert found.vectors.shape == (3, 72)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1)
    assert (found.new, again.new) == (3, 0)
    assert np.array_equal(found.vectors, again.vectors)
    assert len(set(found.pixels)) == 3
    other = embed(dataset, backbone("fb"), DECODER, tmp_path, settings=SETTINGS, progress=False)
    own = embed(dataset, fake_embedder(), DECODER, tmp_path, progress=False)
    assert (other.new, own.new) == (3, 3)
    assert own.canonical != found.canonical
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3
    assert sum("torchvision-small" in name for name in names) == 2


def test_flipping_averages_the_mirror(tmp_path: Path) -> None:
    dataset = pictures(2)
    flipped = SETTINGS.model_copy(update={"tta": "flip"})
    found = embed(dataset, backbone(), DECODER, tmp_path, settings=flipped, progress=False)
    turned = replace(dataset, items=dataset.items[::-1])
    again = embed(turned, backbone(), DECODER, tmp_path, settings=flipped, progress=False)
    assert np.array_equal(found.vectors, again.vectors[::-1])
    plain = embed(dataset, backbone(), DECODER, tmp_path, settings=SETTINGS, progress=False)
    assert not np.allclose(found.vectors, plain.vectors)
