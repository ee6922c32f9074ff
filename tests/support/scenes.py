"""Pictures with many details, for geometry."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw


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
