from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import Weights
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels, Vectors
from eval.embedding import canonical
from eval.embedding.canonical import IMAGES, canonical_hash, hash_pixels
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.errors import WorkbenchError
from tests.eval.support.decoding import with_filter
from tests.support.fakes import FakeEngine


class Noisy(FakeEngine):
    """A relative error of each number."""

    def __init__(self, error: float) -> None:
        super().__init__()
        self.error = error

    def compute(self, pixels: Pixels) -> Vectors:
        vectors = super().compute(pixels)
        noise = np.random.default_rng(3).standard_normal(vectors.shape).astype(np.float32)
        return vectors * (1 + self.error * noise)


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder(100_000, 1_000_000)
    yield made
    made.close()


def hashed(
    decoder: Decoder,
    engine: FakeEngine | None = None,
    settings: EmbeddingSettings = OWN_SETTINGS,
    *,
    mirror: bool = False,
) -> str:
    embedder = Embedder(Weights("custom", None, "fake0000"), engine or FakeEngine())
    return canonical_hash(embedder, decoder, settings, mirror=mirror)


def test_the_same_code_gives_the_same_hash_whatever_the_limits(decoder: Decoder) -> None:
    small = Decoder(10, 10)
    assert hashed(decoder) == hashed(decoder) == hashed(small)
    assert (small.max_bytes, small.max_pixels) == (10, 10)
    small.close()


def test_another_resampling_filter_gives_another_hash(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hashed(decoder)
    with_filter(monkeypatch, Image.Resampling.NEAREST)
    changed = Decoder(100_000, 1_000_000)
    assert hashed(changed) != before
    changed.close()


def test_each_way_of_seeing_an_image_has_a_hash_of_its_own(decoder: Decoder) -> None:
    found = {
        hashed(decoder),
        hashed(decoder, mirror=True),
        hashed(decoder, settings=EmbeddingSettings(crop="pad")),
        hashed(decoder, settings=EmbeddingSettings(crop="squash")),
        hashed(decoder, settings=EmbeddingSettings(size=448)),
    }
    assert len(found) == 5


def test_noise_of_the_last_bits_changes_nothing_and_a_lower_precision_does(
    decoder: Decoder,
) -> None:
    assert hashed(decoder, Noisy(1e-8)) == hashed(decoder)
    assert hashed(decoder, Noisy(4e-3)) != hashed(decoder)  # bfloat16's


def test_other_weights_give_another_hash(decoder: Decoder) -> None:
    engine = FakeEngine()
    engine._spread = np.random.default_rng(1).random(engine._spread.shape, np.float32)
    assert hashed(decoder, engine) != hashed(decoder)


def test_a_network_that_gives_nan_is_one_clear_error(decoder: Decoder) -> None:
    with pytest.raises(WorkbenchError, match=r"NaN or infinity: the weights \(custom\) or the"):
        hashed(decoder, Noisy(np.nan))


def test_missing_images_are_one_clear_error(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canonical, "IMAGES", IMAGES / "none")
    with pytest.raises(WorkbenchError, match="The canonical images can't be read"):
        hashed(decoder)


def test_the_images_take_the_ways_through_the_decoder_that_they_are_said_to() -> None:
    opened = {path.name: Image.open(path) for path in IMAGES.iterdir()}
    assert {name: (image.mode, image.format) for name, image in opened.items()} == {
        "chirp.png": ("P", "PNG"),
        "turned.jpg": ("RGB", "JPEG"),
        "alpha.webp": ("RGBA", "WEBP"),
        "grey16.png": ("I;16", "PNG"),
    }
    turned = opened["turned.jpg"]
    assert turned.getexif()[0x0112] == 6
    assert turned.size[0] * turned.size[1] == canonical.LARGEST
    assert min(turned.size) >= 2 * 512
    for image in opened.values():
        image.close()


def test_equal_pixels_in_another_shape_have_another_hash() -> None:
    pixels = np.zeros((2, 6), np.uint8)
    assert hash_pixels(pixels) == hash_pixels(pixels.copy())
    assert hash_pixels(pixels) != hash_pixels(pixels.reshape(3, 4))
