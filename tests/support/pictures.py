"""Pictures drawn by a seed: photographs and edited copies of them; scenes with many details."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

SIDE = 320


@cache
def draw(seed: int) -> Image.Image:
    """A picture with structure of all sizes, so that its hash tells it from all others."""
    random = np.random.default_rng(seed)
    total = np.zeros((SIDE, SIDE, 3), np.float32)
    for cells in (3, 6, 12, 24, 48):
        noise = Image.fromarray(random.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    return Image.fromarray((total / 5).astype(np.uint8))


def encode(image: Image.Image, kind: str = "JPEG", **options: int) -> bytes:
    """A file of an image."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(seed: int) -> bytes:
    """A JPEG of picture `seed`."""
    return encode(draw(seed), quality=90)


EDITS: dict[str, Callable[[Image.Image], bytes]] = {
    "recompressed": lambda image: encode(image, quality=30),
    "smaller": lambda image: encode(image.resize((SIDE // 2, SIDE // 2)), quality=85),
    "png": lambda image: encode(image, "PNG"),
    "brighter": lambda image: encode(ImageEnhance.Brightness(image).enhance(1.15)),
    "blurred": lambda image: encode(image.filter(ImageFilter.GaussianBlur(1.5))),
}
"""Copies within 31 bits of the picture."""


@cache
def scene(seed: int, size: tuple[int, int] = (384, 288)) -> Image.Image:
    """Ellipses and rectangles of random places, sizes and colours."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for index in range(160):
        x, y = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        width, height = rng.uniform(5, 50, 2)
        shape = draw.ellipse if index % 2 else draw.rectangle
        shape((x, y, x + width, y + height), tuple(rng.integers(0, 256, 3).tolist()))
    return image
