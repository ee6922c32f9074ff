"""How large a dataset's images are, in pixels and in bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
from PIL import Image

from eval.data.items import Item
from eval.statistics.percentiles import percentile

PERCENTS = (0, 5, 50, 95, 100)
"""The percentiles that `SizeDistribution` has."""


@dataclass(frozen=True)
class SizeDistribution:
    """Percentiles of the images' sizes, in the order of PERCENTS; each is some image's size."""

    pixels: list[int]
    """Width times height."""
    bytes: list[int]
    """Of the encoded image."""


def measure_sizes(items: Sequence[Item]) -> SizeDistribution:
    """Read every image and its header; no pixels are decoded.

    Raises OSError (PIL.UnidentifiedImageError is one) for an image that can't be read.
    """
    with ThreadPoolExecutor(cpu_count() or 1) as threads:
        sizes = np.array(list(threads.map(_size, items)))
    pixels, of_files = np.sort(sizes, axis=0).T
    return SizeDistribution(
        pixels=[int(percentile(pixels, percent)) for percent in PERCENTS],
        bytes=[int(percentile(of_files, percent)) for percent in PERCENTS],
    )


def _size(item: Item) -> tuple[int, int]:
    data = item.read()
    with Image.open(io.BytesIO(data)) as image:
        return image.width * image.height, len(data)
