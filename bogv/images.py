"""Bytes to `Picture`: decode within limits, turn upright, make RGB, shrink; and their MD5."""

from __future__ import annotations

import hashlib
import io
import threading
from os import cpu_count

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bogv.bounds import open_image
from bogv.errors import BogvError, DamagedImage, TooLarge, Unavailable
from bogv.records import Picture, Pixels

INPUT_SIZE = 224
RESIZE_SIZE = 256
THUMBNAIL_SIZE = 384

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


def md5_of(data: bytes) -> str:
    """The key of an image that came without one: 32 hex digits."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


class Decoder:
    """Decodes images of at most `max_bytes` bytes and `max_pixels` pixels. Safe in threads."""

    def __init__(self, max_bytes: int, max_pixels: int) -> None:
        self.max_bytes = max_bytes
        self.max_pixels = max_pixels
        # Pixels take up to 20 bytes each while they are turned to RGB, and 40 requests may come
        # at once: as many are decoded as there are cores.
        self._turns = threading.BoundedSemaphore(cpu_count() or 1)

    def decode(self, data: bytes, thumbnail: bool = False) -> Picture:
        """Decode the first frame, upright, in RGB, over white where it is transparent.

        Raises TooLarge, TooManyPixels (before any pixel is decoded), NotAnImage, DamagedImage,
        Unavailable (no memory).
        """
        upright, (width, height) = self.upright(data)
        return Picture(
            width=width,
            height=height,
            size=len(data),
            pixels=network_input(upright),
            thumbnail=_thumbnail(upright) if thumbnail else None,
        )

    def upright(
        self, data: bytes, least: int = 2 * RESIZE_SIZE
    ) -> tuple[Image.Image, tuple[int, int]]:
        """The image in RGB, upright, and its size: width and height in pixels.

        A large JPEG comes scaled down, its sides at least `least` pixels long; the size is that of
        the whole image. Raises as `decode` does.
        """
        if len(data) > self.max_bytes:
            raise TooLarge(
                f"The image has {len(data):,} bytes; the limit is {self.max_bytes:,} bytes."
            )
        try:
            with self._turns, open_image(data, FORMATS, self.max_pixels) as image:
                if image.format == "TIFF":
                    image.load()  # alone among the formats, it turns itself upright
                size = _upright_size(image)
                return _upright(_rgb(_drafted(image, least)), _orientation(image)), size
        except BogvError:
            raise
        except MemoryError as error:
            raise Unavailable("There is too little memory to decode the image.") from error
        except Exception as error:  # Pillow's decoders raise a dozen kinds, struct.error among them
            raise DamagedImage(f"The image is damaged or cut short: {error}.") from error


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


def _drafted(image: Image.Image, least: int) -> Image.Image:
    """Let the JPEG decoder scale by 1/2, 1/4 or 1/8 as it decodes, down to twice what is needed.

    The thumbnail needs 384 on the long side, the network 256 on the short: 512 serves both.
    """
    image.draft("RGB", (least, least))
    return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I;16L", "I;16N"}:
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in {"I", "F"}:
        return Image.fromarray(_stretched(np.array(image, dtype=np.float32))).convert("RGB")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:
        image = image.convert("RGBA")
        over = Image.new("RGB", image.size, "white")
        over.paste(image, mask=image.getchannel("A"))
        return over
    return image.convert("RGB")


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
    return (height, width) if _orientation(image) >= 5 else (width, height)


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
