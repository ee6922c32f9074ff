from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from bogv.embedding.engines import DEFAULT_NETWORK as OWN_NETWORK
from bogv.imaging.decode import network_input
from bogv.imaging.decoder import Decoder
from eval.embedding import settings as variants
from eval.embedding.settings import (
    OWN_SETTINGS,
    PADDING,
    EmbeddingSettings,
    network_of,
    padded,
    prepare_input,
)
from tests.support.fakes import encoded, picture

DECODER = Decoder(20 << 20, 64_000_000)
HALVES = Image.new("RGB", (800, 400), "red")
HALVES.paste((0, 0, 255), (400, 0, 800, 400))


def near(pixel: Any, colour: tuple[int, ...]) -> bool:
    return bool(np.abs(np.asarray(pixel, int) - colour).max() <= 1)


def test_the_defaults_are_bogvs_own_decoder_and_network(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(picture(1), "JPEG")
    assert network_of(OWN_SETTINGS) == OWN_NETWORK
    assert OWN_SETTINGS.is_own
    own = DECODER.decode(data).pixels
    # What a variant is made of is not even touched.
    for name in ("network_input", "padded", "_resized"):
        monkeypatch.setattr(variants, name, None)
    monkeypatch.setattr(Decoder, "decode", lambda *_: type("Picture", (), {"pixels": own}))
    assert prepare_input(data, DECODER, OWN_SETTINGS) is own
    assert (
        prepare_input(data, DECODER, EmbeddingSettings(pooling="gem", tta="flip", post="pca:4"))
        is own
    )


@pytest.mark.parametrize("size", [224, 448])
def test_each_crop_shows_what_it_says(size: Any) -> None:
    data = encoded(HALVES)
    middle, squashed, whole = (
        prepare_input(data, DECODER, EmbeddingSettings(size=size, crop=crop))
        for crop in ("center", "squash", "pad")
    )
    assert {each.shape for each in (middle, squashed, whole)} == {(size, size, 3)}
    for pixels in (middle, squashed):
        assert near(pixels[2, 2], (255, 0, 0))
        assert near(pixels[-3, -3], (0, 0, 255))
    top, left = size // 4, size // 2
    assert near(whole[top - 3, left], PADDING)
    assert near(whole[-(top - 3), left], PADDING)
    assert near(whole[top + 3, 2], (255, 0, 0))
    assert near(whole[size - top - 3, -3], (0, 0, 255))


def test_only_a_center_crop_cuts_off_the_edges() -> None:
    """A border of green, 80 pixels wide: the middle 7/8 of the short side leaves it out."""
    framed = Image.new("RGB", (1400, 700), (0, 128, 0))
    framed.paste("white", (80, 40, 1320, 660))
    data = encoded(framed)
    assert near(
        prepare_input(data, DECODER, EmbeddingSettings(crop="center"))[112, 2], (255, 255, 255)
    )
    for crop in ("squash", "pad"):
        assert near(prepare_input(data, DECODER, EmbeddingSettings(crop=crop))[112, 2], (0, 128, 0))


def test_448_is_the_middle_of_512() -> None:
    image = picture(3, (900, 600))
    expected = np.asarray(
        image.resize((768, 512), Image.Resampling.BILINEAR).crop((160, 32, 608, 480))
    ).astype(int)
    assert np.abs(network_input(image, 448) - expected).max() <= 1


def test_a_large_jpeg_loses_no_resolution_at_448() -> None:
    """Lines of 3 of 1100 pixels: a JPEG decoded to half the size would have blurred them away."""
    stripes = np.zeros((1100, 1100, 3), np.uint8)
    stripes[:, ::6] = stripes[:, 1::6] = stripes[:, 2::6] = 255
    data = encoded(Image.fromarray(stripes), "JPEG", quality=98, subsampling=0)
    whole, _ = DECODER.decode_upright(data, draft_side=1024)
    assert whole.size == (1100, 1100)
    assert DECODER.decode_upright(data)[0].size == (550, 550)
    for crop in ("center", "squash", "pad"):
        seen = prepare_input(data, DECODER, EmbeddingSettings(size=448, crop=crop))
        own = prepare_input(data, DECODER, EmbeddingSettings(size=224, crop=crop))
        assert seen[200].std() > 2 * own[100].std()


@pytest.mark.parametrize("size", [(1, 3000), (3000, 1), (1, 1)])
def test_a_strip_can_be_padded(size: tuple[int, int]) -> None:
    assert padded(Image.new("RGB", size, "red"), 224).shape == (224, 224, 3)


def test_a_mirror_image_is_flipped_horizontally() -> None:
    data = encoded(HALVES)
    mirrored = prepare_input(data, DECODER, OWN_SETTINGS, mirror=True)
    assert np.array_equal(mirrored, prepare_input(data, DECODER, OWN_SETTINGS)[:, ::-1])
    assert near(mirrored[112, 2], (0, 0, 255))


def test_each_variant_has_a_unique_name() -> None:
    settings = EmbeddingSettings(pooling="gem", size=448, crop="pad", tta="flip", post="whiten:64")
    assert (settings.view, settings.tag) == ("gem-448-pad", "gem-448-pad-flip-whiten64")
    assert (OWN_SETTINGS.view, OWN_SETTINGS.tag) == ("", "")
    assert "bogv's own" in OWN_SETTINGS.text
    assert "bogv's own" not in settings.text


def test_scales_and_reranking_are_named_too() -> None:
    settings = EmbeddingSettings(scales=(1, 0.7071), post="pca:4", rerank="aqe:n=5")
    assert settings.tag == "x0.7071-x1-pca4-aqe-n5-alpha3"
    assert "224 px at scales 0.7071, 1, center" in settings.text
    assert "re-ranking aqe:n=5,alpha=3" in settings.text
    assert not settings.is_own


def test_what_it_is_fitted_on_is_named() -> None:
    settings = EmbeddingSettings(post="whiten:8", fit_on="rparis6k:gallery")
    assert settings.tag == "whiten8-on-rparis6k-gallery"
    assert settings.text.endswith("post whiten:8 fitted on rparis6k:gallery")
    with pytest.raises(ValidationError, match="needs --post"):
        EmbeddingSettings(fit_on="rparis6k")
    with pytest.raises(ValidationError):
        EmbeddingSettings(post="pca:2", fit_on="rparis6k:train")


def test_each_scale_is_a_size_of_its_own() -> None:
    settings = EmbeddingSettings(crop="pad", scales=(1.4142, 1, 0.7071), post="pca:4")
    assert settings.scales == (0.7071, 1, 1.4142)
    scaled = settings.at_scales()
    assert [each.size for each in scaled] == [160, 224, 320]
    assert [each.view for each in scaled] == ["160-pad", "pad", "320-pad"]
    assert [prepare_input(encoded(HALVES), DECODER, each).shape for each in scaled] == [
        (160, 160, 3),
        (224, 224, 3),
        (320, 320, 3),
    ]
    assert OWN_SETTINGS.at_scales() == [OWN_SETTINGS]


@pytest.mark.parametrize("scales", [(), (0,), (-1,), (1, 1), (1, 1.01), (0.5,), (1, 3), ("nan",)])
def test_scales_that_give_no_inputs_of_their_own_are_refused(scales: Any) -> None:
    with pytest.raises(ValidationError):
        EmbeddingSettings(scales=scales)


@pytest.mark.parametrize("post", ["pca", "pca:0", "pca:-1", "white:4", "whiten:1.5", "", "pca:4\n"])
def test_a_post_that_means_nothing_is_refused(post: str) -> None:
    with pytest.raises(ValidationError):
        EmbeddingSettings(post=post)


def test_another_network_has_a_name_in_all_that_tells_runs_apart() -> None:
    other = EmbeddingSettings(backbone="open_clip:ViT-B-32/laion", tta="flip", post="pca:4")
    assert other.view == "open_clip-ViT-B-32-laion"
    assert other.tag == "open_clip-ViT-B-32-laion-flip-pca4"
    assert other.text == "open_clip:ViT-B-32/laion, its own pre-processing, tta flip, post pca:4"
    assert not other.is_own
    stored = EmbeddingSettings(backbone="vectors", rerank="aqe")
    assert stored.text.startswith("vectors from a file, post none, re-ranking aqe:")


@pytest.mark.parametrize(
    ("backbone", "more"),
    [
        ("timm:x", {"pooling": "gem"}),
        ("timm:x", {"size": 448}),
        ("timm:x", {"crop": "pad"}),
        ("timm:x", {"scales": (1, 1.4142)}),
        ("vectors", {"tta": "flip"}),
        ("vectors", {"post": "pca:2", "fit_on": "digits"}),
    ],
)
def test_settings_of_bogvs_own_network_are_refused_with_another(
    backbone: str, more: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="can't be used"):
        EmbeddingSettings(backbone=backbone, **more)
