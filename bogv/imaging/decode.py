"""Bytes to pixels, with Pillow: decode, turn upright, make RGB, shrink.

Nothing here bounds what the bytes may make Pillow do, beside the number of pixels: a kilobyte can
make it take gigabytes or minutes, in more ways than can be listed. So strangers' bytes are decoded
in a process that the operating system bounds, by `bogv.imaging.decoder`.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from bogv.errors import BogvError, DamagedImage, NotAnImage, TooCostly, TooManyPixels
from bogv.records import Picture, Pixels

INPUT_SIZE = 224
RESIZE_SIZE = 256
THUMBNAIL_SIZE = 384
DRAFT_SIDE = 2 * RESIZE_SIZE
"""Pixels. The thumbnail needs 384 on the long side, the network 256 on the short."""

# Told by their first bytes. Left out are the formats that have no such mark (TGA) and those that
# run other programs (EPS) or open files inside files (ICO, ICNS, PSD).
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo", ".pbm", ".pgm"}
    | {".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""What a walk through a folder takes for images. What they are, their bytes tell."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

Opened = Callable[[int], None]
"""Called with the number of pixels once the header is read, before any pixel is decoded."""


def decode(
    data: bytes, max_pixels: int, draft_side: int, thumbnail: bool, opened: Opened
) -> Picture:
    """Decode the first frame: what the network sees, and the thumbnail if it is asked for.

    Raises as `decode_upright` does.
    """
    upright, (width, height) = decode_upright(data, max_pixels, draft_side, opened)
    return Picture(
        width=width,
        height=height,
        size=len(data),
        pixels=network_input(upright),
        thumbnail=_thumbnail(upright) if thumbnail else None,
    )


def decode_upright(
    data: bytes, max_pixels: int, draft_side: int, opened: Opened
) -> tuple[Image.Image, tuple[int, int]]:
    """The first frame in RGB, upright, over white where it is transparent; and its size.

    draft_side: a large JPEG comes scaled down, its sides at least so many pixels long. The size,
    width and height in pixels, is that of the whole image.

    Raises TooManyPixels, NotAnImage, DamagedImage, TooCostly (out of memory).
    """
    try:
        with _open(data, max_pixels) as image:
            opened(image.width * image.height)
            if image.format == "TIFF":
                image.load()  # alone among the formats, it turns itself upright
            size = _upright_size(image)
            # The JPEG decoder scales by 1/2, 1/4 or 1/8 as it decodes.
            image.draft("RGB", (draft_side, draft_side))
            return _upright(_rgb(image), _orientation(image)), size
    except BogvError:
        raise
    except MemoryError as error:
        raise TooCostly("Decoding takes more memory than an image may.") from error
    except Exception as error:  # Pillow's decoders raise a dozen kinds, struct.error among them
        raise DamagedImage(f"The image is damaged or cut short: {error}.") from error


def _open(data: bytes, max_pixels: int) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        what = "The file is empty." if not data else "The bytes are no image of a known format."
        raise NotAnImage(what) from error
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"The image has {width:,} × {height:,} pixels; the limit is {max_pixels:,}."
        )
    return image


def network_input(image: Image.Image, size: int = INPUT_SIZE) -> Pixels:
    """RGB image -> (size, size, 3) uint8, as `ResNet50_Weights.IMAGENET1K_V1.transforms()`.

    Short side to 256 (bilinear, antialiased), then the middle 224 × 224; the result is the same to
    a rounding step. Only the middle is computed: a strip of 1 × 30,000 pixels costs no more.
    Another size keeps the ratio: 448 is the middle of 512.
    """
    width, height = image.size
    short = size * RESIZE_SIZE // INPUT_SIZE
    if width <= height:
        resized = short, int(short * height / width)
    else:
        resized = int(short * width / height), short
    left, top = (round((side - size) / 2.0) for side in resized)
    across, down = width / resized[0], height / resized[1]
    box = (
        left * across,
        top * down,
        min((left + size) * across, width),
        min((top + size) * down, height),
    )
    pixels: Pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box))
    return pixels


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I;16L", "I;16N"}:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretched(np.array(image, dtype=np.float32))).convert("RGB")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:
        image = image.convert("RGBA")
        over = Image.new("RGB", image.size, "white")
        over.paste(image, mask=image.getchannel("A"))
        return over
    return image.convert("RGB")


def _eight_bits(values: NDArray[np.uint16]) -> Pixels:
    """The highest 8 of the bits that are in use: cameras and scanners put 10, 12 or 14 into 16."""
    bits = int(values.max()).bit_length()
    return (values >> max(bits - 8, 0)).astype(np.uint8)


def _stretched(values: NDArray[np.float32]) -> Pixels:
    """32-bit values have no agreed white: darkest to 0, brightest to 255, NaN to 0."""
    np.nan_to_num(values, copy=False, posinf=0, neginf=0)
    values -= values.min()
    values *= 255 / (float(values.max()) or 1.0)
    return values.astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - broken EXIF is common and the picture is none the worse
        return 1


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _thumbnail(image: Image.Image) -> bytes:
    # All are the fastest that look well: bicubic takes half as long again, and WebP's method 2
    # too, for files smaller by an eighth. Halving first what stays a quarter too large thereby
    # costs 1.7 dB of 42 and saves two fifths of the scaling.
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=1.25)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=80, method=0)
    return out.getvalue()
