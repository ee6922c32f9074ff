"""Formats, modes, orientation, limits and errors of decoding."""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from bogv.errors import BogvError, DamagedImage, NotAnImage, TooLarge, TooManyPixels
from bogv.imaging.decode import THUMBNAIL_SIZE, network_input
from bogv.imaging.decoder import Decoder
from bogv.imaging.pdq import pdq_hashes
from tests.support.fakes import encoded, picture

DECODER = Decoder(max_bytes=20 * 1024 * 1024, max_pixels=64_000_000)
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000"]


def difference(data: bytes, other: bytes) -> float:
    """Mean absolute difference of the network's inputs, on a scale of 0 to 255."""
    one, two = DECODER.decode(data).pixels, DECODER.decode(other).pixels
    return float(np.abs(one.astype(int) - two).mean())


@pytest.mark.parametrize("kind", FORMATS + (["AVIF"] if features.check("avif") else []))
def test_each_format_gives_the_same_picture(kind: str) -> None:
    original = picture(1)
    assert difference(encoded(original, kind), encoded(original)) < 8


def test_the_format_is_detected_from_the_bytes() -> None:
    decoded = DECODER.decode(encoded(picture(1, (64, 48)), "GIF"))
    assert (decoded.width, decoded.height) == (64, 48)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_the_first_of_several_frames_is_decoded(kind: str) -> None:
    first, second = picture(1), picture(2)
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert difference(data, encoded(first)) < 8
    assert difference(data, encoded(second)) > 16


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = picture(1, (320, 200))
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, by orientation
    stored = upright
    if orientation != 1:
        stored = upright.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    assert difference(data, encoded(upright)) < 8
    assert (DECODER.decode(data).width, DECODER.decode(data).height) == (320, 200)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [0, 9, 12, 65_535])
def test_an_invalid_orientation_is_ignored(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = DECODER.decode(encoded(picture(1, (320, 200)), kind, exif=exif))
    assert (decoded.width, decoded.height) == (320, 200)


def test_broken_exif_is_ignored() -> None:
    data = encoded(picture(1), "JPEG", exif=b"Exif\x00\x00garbage" * 20)
    assert difference(data, encoded(picture(1))) < 8


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LAB"])
def test_other_modes_are_converted_to_rgb(mode: str) -> None:
    kind = "TIFF" if mode in {"CMYK", "LAB"} else "PNG"
    assert DECODER.decode(encoded(picture(1).convert(mode), kind)).pixels.shape == (224, 224, 3)


def test_sixteen_bit_greyscale_is_reduced_to_eight_bits() -> None:
    grey = np.asarray(picture(1).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert difference(encoded(deep), encoded(Image.fromarray(grey))) < 1.1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_sixteen_bit_images_are_scaled_by_the_bits_in_use(bits: int, kind: str) -> None:
    """Cameras, scanners and medical devices leave the highest bits unused."""
    grey = np.asarray(picture(1).convert("L")).copy()
    grey[0, 0] = 255
    deep = Image.fromarray(grey.astype(np.uint16) << (bits - 8))
    assert difference(encoded(deep, kind), encoded(Image.fromarray(grey))) < 1.1


def test_black_in_sixteen_bits_stays_black() -> None:
    assert DECODER.decode(encoded(Image.new("I;16", (64, 64)))).pixels.max() == 0


def test_floating_point_images_are_stretched_to_the_full_contrast() -> None:
    values = np.linspace(-3, 5, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, 0] = np.nan
    pixels = DECODER.decode(encoded(Image.fromarray(values), "TIFF")).pixels
    assert pixels[0].mean() < 30
    assert pixels[-1].mean() > 225


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_rendered_over_white(mode: str) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0)).convert(mode)
    data = encoded(image, "PNG", **({"transparency": 0} if mode == "P" else {}))
    assert DECODER.decode(data).pixels.min() == 255


def test_the_reduced_picture_is_returned_on_request_and_is_what_was_hashed() -> None:
    data = encoded(picture(1, (800, 500)))
    decoded = DECODER.decode(data, thumbnail=True, reduced=True)
    assert decoded.reduced is not None
    assert decoded.reduced.shape == (240, 384, 3)
    hashes, quality = pdq_hashes(decoded.reduced)
    assert np.array_equal(decoded.hashes, hashes)
    assert decoded.quality == quality
    plain = DECODER.decode(data, thumbnail=True)
    assert plain.reduced is None
    assert plain.thumbnail == decoded.thumbnail
    assert np.array_equal(plain.hashes, hashes)


@pytest.mark.parametrize("claimed", [[385, 1, 3], [0, 1, 3], [1, 1, 4], [-1, -1, 3], [1, 1]])
def test_a_reduced_picture_of_an_impossible_shape_is_refused(
    monkeypatch: pytest.MonkeyPatch, claimed: list[int]
) -> None:
    response = {"size": [1, 1], "quality": 1, "reduced": claimed}
    monkeypatch.setattr(DECODER, "_run", lambda *_: (response, bytearray(3_000_000)))
    with pytest.raises(DamagedImage):
        DECODER.decode(b"x", reduced=True)


def test_the_thumbnail_is_webp_with_a_long_side_of_384() -> None:
    thumbnail = DECODER.decode(encoded(picture(1, (800, 400))), thumbnail=True).thumbnail
    assert thumbnail is not None
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert (image.format, image.size) == ("WEBP", (THUMBNAIL_SIZE, THUMBNAIL_SIZE // 2))


def test_the_network_input_equals_that_of_torchvisions_transforms() -> None:
    from torchvision.models import ResNet50_Weights
    from torchvision.transforms import functional

    transforms = ResNet50_Weights.IMAGENET1K_V1.transforms()
    assert (transforms.resize_size, transforms.crop_size) == ([256], [224])
    for seed, size in enumerate([(640, 480), (480, 640), (301, 257), (50, 40), (224, 224)]):
        image = picture(seed, size)
        resized = functional.resize(
            image, transforms.resize_size, transforms.interpolation, antialias=True
        )
        expected = np.asarray(functional.center_crop(resized, transforms.crop_size)).astype(int)
        assert np.abs(network_input(image) - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (3, 2)])
def test_an_image_of_any_aspect_ratio_becomes_a_network_input(size: tuple[int, int]) -> None:
    assert DECODER.decode(encoded(Image.new("RGB", size, "red"))).pixels.shape == (224, 224, 3)


def test_a_large_jpeg_is_decoded_at_reduced_scale_and_reports_its_full_size() -> None:
    large = picture(1, (4000, 3000))
    data = encoded(large, "JPEG", quality=90)
    decoded = DECODER.decode(data)
    assert (decoded.width, decoded.height, decoded.size) == (4000, 3000, len(data))
    assert difference(data, encoded(large.resize((800, 600)))) < 4


@pytest.mark.parametrize(
    "data", [b"", b"xx", b"<html><body>no</body></html>", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0"]
)
def test_a_file_that_is_no_image_raises_not_an_image(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        DECODER.decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_image_raises_damaged_image(kind: str, part: float) -> None:
    data = encoded(picture(1), kind)
    with pytest.raises((DamagedImage, NotAnImage)):
        DECODER.decode(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    "trailing", [bytes(1_200_000), b"\xff" * 5000, b"more" * 1000, encoded(picture(2), "JPEG")]
)
def test_a_png_with_trailing_bytes_is_decoded(trailing: bytes) -> None:
    assert difference(encoded(picture(1)) + trailing, encoded(picture(1))) == 0


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(TooLarge, match="limit is 100 bytes"):
        Decoder(100, 64_000_000).decode(b"x" * 101)


@pytest.mark.parametrize("side", [9_000, 20_000, 60_000])
def test_too_many_pixels_are_refused_before_decoding(side: int) -> None:
    """Headers claim pixels that the file doesn't have; 9000² is above bogv's limit and below
    Pillow's."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(TooManyPixels):
        DECODER.decode(bomb)


def test_the_pixel_limit_may_be_higher_than_pillows_own() -> None:
    large = encoded(Image.new("1", (20_000, 10_000)))
    with pytest.raises(TooManyPixels):
        DECODER.decode(large)
    assert Decoder(1_000_000, 200_000_000).decode(large).width == 20_000


@settings(max_examples=200)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]), st.data())
def test_a_mutated_image_decodes_or_raises_a_clear_error(kind: str, data: st.DataObject) -> None:
    mutated = bytearray(encoded(picture(3, (40, 30)), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about metadata in images that it then reads
        try:
            decoded = DECODER.decode(bytes(mutated), thumbnail=True)
        except BogvError as error:
            assert str(error).endswith(".")  # noqa: PT017 - one clear sentence
        else:
            assert decoded.pixels.shape == (224, 224, 3)
