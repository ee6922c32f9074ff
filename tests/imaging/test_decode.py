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
from tests.support.fakes import encoded, picture

DECODER = Decoder(max_bytes=20 * 1024 * 1024, max_pixels=64_000_000)
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "JPEG2000"]


def difference(data: bytes, other: bytes) -> float:
    """Mean difference of what the network sees, in steps of 255."""
    one, two = DECODER.decode(data).pixels, DECODER.decode(other).pixels
    return float(np.abs(one.astype(int) - two).mean())


@pytest.mark.parametrize("kind", FORMATS + (["AVIF"] if features.check("avif") else []))
def test_each_format_gives_the_same_picture(kind: str) -> None:
    original = picture(1)
    assert difference(encoded(original, kind), encoded(original)) < 8


def test_the_format_is_told_by_the_bytes() -> None:
    decoded = DECODER.decode(encoded(picture(1, (64, 48)), "GIF"))
    assert (decoded.width, decoded.height) == (64, 48)


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    first, second = picture(1), picture(2)
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert difference(data, encoded(first)) < 8
    assert difference(data, encoded(second)) > 16


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    upright = picture(1, (320, 200))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpose that stores it so
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    assert difference(data, encoded(upright)) < 8
    assert (DECODER.decode(data).width, DECODER.decode(data).height) == (320, 200)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [0, 9, 12, 65_535])
def test_an_orientation_that_is_none_leaves_the_picture_as_it_is(
    orientation: int, kind: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = DECODER.decode(encoded(picture(1, (320, 200)), kind, exif=exif))
    assert (decoded.width, decoded.height) == (320, 200)


def test_broken_exif_leaves_the_picture_as_it_is() -> None:
    data = encoded(picture(1), "JPEG", exif=b"Exif\x00\x00garbage" * 20)
    assert difference(data, encoded(picture(1))) < 8


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "LAB"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "TIFF" if mode in {"CMYK", "LAB"} else "PNG"
    assert DECODER.decode(encoded(picture(1).convert(mode), kind)).pixels.shape == (224, 224, 3)


def test_sixteen_bits_of_grey_become_eight() -> None:
    grey = np.asarray(picture(1).convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert difference(encoded(deep), encoded(Image.fromarray(grey))) < 1.1


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_sixteen_are_scaled_by_their_range(bits: int, kind: str) -> None:
    """As cameras, scanners and medical devices write them: with the highest bits unused."""
    grey = np.asarray(picture(1).convert("L")).copy()
    grey[0, 0] = 255
    deep = Image.fromarray(grey.astype(np.uint16) << (bits - 8))
    assert difference(encoded(deep, kind), encoded(Image.fromarray(grey))) < 1.1


def test_black_in_sixteen_bits_stays_black() -> None:
    assert DECODER.decode(encoded(Image.new("I;16", (64, 64)))).pixels.max() == 0


def test_floating_point_is_stretched_from_dark_to_bright() -> None:
    values = np.linspace(-3, 5, 64 * 64, dtype=np.float32).reshape(64, 64)
    values[0, 0] = np.nan
    pixels = DECODER.decode(encoded(Image.fromarray(values), "TIFF")).pixels
    assert pixels[0].mean() < 30
    assert pixels[-1].mean() > 225


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(mode: str) -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0)).convert(mode)
    data = encoded(image, "PNG", **({"transparency": 0} if mode == "P" else {}))
    assert DECODER.decode(data).pixels.min() == 255


def test_the_thumbnail_is_webp_with_a_long_side_of_384() -> None:
    thumbnail = DECODER.decode(encoded(picture(1, (800, 400))), thumbnail=True).thumbnail
    assert thumbnail is not None
    with Image.open(io.BytesIO(thumbnail)) as image:
        assert (image.format, image.size) == ("WEBP", (THUMBNAIL_SIZE, THUMBNAIL_SIZE // 2))


def test_the_network_sees_what_torchvision_would_show_it() -> None:
    from torchvision.models import ResNet50_Weights
    from torchvision.transforms import functional

    steps = ResNet50_Weights.IMAGENET1K_V1.transforms()
    assert (steps.resize_size, steps.crop_size) == ([256], [224])
    for seed, size in enumerate([(640, 480), (480, 640), (301, 257), (50, 40), (224, 224)]):
        image = picture(seed, size)
        resized = functional.resize(image, steps.resize_size, steps.interpolation, antialias=True)
        expected = np.asarray(functional.center_crop(resized, steps.crop_size)).astype(int)
        assert np.abs(network_input(image) - expected).max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 30_000), (30_000, 1), (3, 2)])
def test_any_shape_is_embedded_without_blowing_up(size: tuple[int, int]) -> None:
    assert DECODER.decode(encoded(Image.new("RGB", size, "red"))).pixels.shape == (224, 224, 3)


def test_a_large_jpeg_is_decoded_small_and_keeps_its_size() -> None:
    large = picture(1, (4000, 3000))
    data = encoded(large, "JPEG", quality=90)
    decoded = DECODER.decode(data)
    assert (decoded.width, decoded.height, decoded.size) == (4000, 3000, len(data))
    assert difference(data, encoded(large.resize((800, 600)))) < 4


@pytest.mark.parametrize(
    "data", [b"", b"xx", b"<html><body>no</body></html>", b"<svg/>", b"%!PS-Adobe-3.0 EPSF-3.0"]
)
def test_what_is_no_image_is_called_that(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        DECODER.decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_truncated_image_is_called_damaged(kind: str, part: float) -> None:
    data = encoded(picture(1), kind)
    with pytest.raises((DamagedImage, NotAnImage)):
        DECODER.decode(data[: int(len(data) * part)])


@pytest.mark.parametrize(
    "rubbish", [bytes(1_200_000), b"\xff" * 5000, b"more" * 1000, encoded(picture(2), "JPEG")]
)
def test_a_png_with_rubbish_behind_its_end_is_read(rubbish: bytes) -> None:
    assert difference(encoded(picture(1)) + rubbish, encoded(picture(1))) == 0


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(TooLarge, match="limit is 100 bytes"):
        Decoder(100, 64_000_000).decode(b"x" * 101)


@pytest.mark.parametrize("side", [9_000, 20_000, 60_000])
def test_too_many_pixels_are_refused_before_decoding(side: int) -> None:
    """Headers that promise more pixels than there are; 9000² is over our limit, under Pillow's."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    with pytest.raises(TooManyPixels):
        DECODER.decode(bomb)


def test_the_limit_of_pixels_may_be_raised_above_pillows_own() -> None:
    large = encoded(Image.new("1", (20_000, 10_000)))
    with pytest.raises(TooManyPixels):
        DECODER.decode(large)
    assert Decoder(1_000_000, 200_000_000).decode(large).width == 20_000


@settings(max_examples=200)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"]), st.data())
def test_a_mutated_image_is_a_picture_or_a_clear_error(kind: str, data: st.DataObject) -> None:
    mutated = bytearray(encoded(picture(3, (40, 30)), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what it then reads all the same
        try:
            decoded = DECODER.decode(bytes(mutated), thumbnail=True)
        except BogvError as error:
            assert str(error).endswith(".")  # noqa: PT017 - one clear sentence
        else:
            assert decoded.pixels.shape == (224, 224, 3)
