"""Decodes images with Pillow: applies the orientation, converts to RGB, resizes.

The only limit here is the number of pixels. A crafted file of a kilobyte can make Pillow use
gigabytes or minutes, so untrusted bytes go through `bogv.imaging.decoder`, which runs this module
in a sandboxed process.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from bogv.errors import BogvError, DamagedImage, NotAnImage, TooCostly, TooManyPixels
from bogv.imaging.pdq import pdq_hashes
from bogv.records import Picture, Pixels

INPUT_SIZE = 224
RESIZE_SIZE = 256
THUMBNAIL_SIZE = 384
DRAFT_SIDE = 2 * RESIZE_SIZE
"""Pixels. The thumbnail needs 384 on the long side, the network 256 on the short side."""

# Formats that Pillow recognizes by a signature. Left out: TGA, which has none; EPS, which runs
# another program; ICO, ICNS and PSD, which embed files of other formats.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm"}
    | {".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""File names that a folder import picks up. The format itself is detected from the bytes."""

_ORIENTATION = 0x0112  # the EXIF tag
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

OnHeader = Callable[[int], None]
"""Called with the number of pixels after the header was read, before any pixel is decoded."""


def decode(
    data: bytes, max_pixels: int, draft_side: int, thumbnail: bool, on_header: OnHeader
) -> Picture:
    """Decode the first frame to the network's input, the reduced picture, its hashes and, on
    request, the thumbnail.

    Raises as `decode_upright` does.
    """
    image, (width, height) = decode_upright(data, max_pixels, draft_side, on_header)
    pixels = network_input(image)
    _reduce(image)
    reduced: Pixels = np.asarray(image)
    hashes, quality = pdq_hashes(reduced)
    return Picture(
        width=width,
        height=height,
        size=len(data),
        pixels=pixels,
        thumbnail=_encode_thumbnail(image) if thumbnail else None,
        hashes=hashes,
        quality=quality,
        reduced=reduced,
    )


def decode_upright(
    data: bytes, max_pixels: int, draft_side: int, on_header: OnHeader
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode the first frame: upright, RGB, transparency over white; also its width and height.

    draft_side: a large JPEG is scaled down, to sides of at least so many pixels. Width and height,
    in pixels, are always those of the full image.

    Raises TooManyPixels, NotAnImage, DamagedImage, TooCostly (out of memory).
    """
    try:
        with _open_image(data, max_pixels) as image:
            on_header(image.width * image.height)
            if image.format == "TIFF":
                image.load()  # for TIFF alone, Pillow applies the orientation itself
            size = _upright_size(image)
            # The JPEG decoder can scale by 1/2, 1/4 or 1/8, which is much faster.
            image.draft("RGB", (draft_side, draft_side))
            return _turn_upright(_to_rgb(image), _read_orientation(image)), size
    except BogvError:
        raise
    except MemoryError as error:
        raise TooCostly("Decoding the image takes too much memory.") from error
    except Exception as error:  # Pillow raises a dozen types for bad data, struct.error among them
        raise DamagedImage(f"The image is damaged or cut short: {error}.") from error


def _open_image(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        reason = "The file is empty." if not data else "The bytes are no image of a known format."
        raise NotAnImage(reason) from error
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"The image has {width:,} × {height:,} pixels; the limit is {max_pixels:,}."
        )
    return image


def network_input(image: Image.Image, size: int = INPUT_SIZE) -> Pixels:
    """RGB image -> (size, size, 3) uint8, as `ResNet50_Weights.IMAGENET1K_V1.transforms()`.

    Resizes the short side to 256 pixels (bilinear, antialiased) and takes the center crop of
    224 × 224; the values differ from torchvision's by at most 1. Only the crop is computed, so that
    an image of 1 × 30,000 pixels costs no more. Other sizes keep the ratio: 448 is cropped from
    512.
    """
    box = crop_box(*image.size, size)
    pixels: Pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    return pixels


def crop_box(width: int, height: int, size: int = INPUT_SIZE) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what `network_input` takes of an image, in its pixels."""
    short = size * RESIZE_SIZE // INPUT_SIZE
    if width <= height:
        resized = short, int(short * height / width)
    else:
        resized = int(short * width / height), short
    left, top = (round((side - size) / 2.0) for side in resized)
    x_scale, y_scale = width / resized[0], height / resized[1]
    return (
        left * x_scale,
        top * y_scale,
        min((left + size) * x_scale, width),
        min((top + size) * y_scale, height),
    )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I;16L", "I;16N"}:
        return Image.fromarray(_to_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretch_contrast(np.array(image, dtype=np.float32))).convert("RGB")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:
        image = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(image, mask=image.getchannel("A"))
        return background
    return image.convert("RGB")


def _to_eight_bits(values: NDArray[np.uint16]) -> Pixels:
    """The highest 8 of the used bits: cameras and scanners store 10, 12 or 14 bits in 16."""
    bits = int(values.max()).bit_length()
    return (values >> max(bits - 8, 0)).astype(np.uint8)


def _stretch_contrast(values: NDArray[np.float32]) -> Pixels:
    """Map the darkest value to 0 and the brightest to 255: 32-bit formats define no white point.

    Changes `values` in place; NaN and infinity count as 0.
    """
    np.nan_to_num(values, copy=False, posinf=0, neginf=0)
    values -= values.min()
    values *= 255 / (float(values.max()) or 1.0)
    return values.astype(np.uint8)


def _read_orientation(image: Image.Image) -> int:
    """1 to 8 by the EXIF standard; 1, upright, where it is missing or unreadable."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken EXIF is common, and the pixels don't depend on it
        return 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _read_orientation(image) in _SIDEWAYS else (width, height)


def _turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _TRANSPOSES.get(orientation)
    return image if method is None else image.transpose(method)


def _reduce(image: Image.Image) -> None:
    """Shrink the image to at most THUMBNAIL_SIZE pixels on the long side, for speed.

    Bicubic resampling takes 50 % longer. `reducing_gap=1.25`: shrink by a whole factor first, to at
    least 1.25 times the final size; it saves 40 % of the resizing and lowers the PSNR from 42 dB by
    1.7.
    """
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=1.25)


def _encode_thumbnail(image: Image.Image) -> bytes:
    """WebP, with settings chosen for speed: method 2 takes 50 % longer, for files 12 % smaller."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80, method=0)
    return out.getvalue()
