"""The JPEGs for `speed`: made from given images, in typical sizes of cameras."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import cpu_count
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps
from tqdm import tqdm

from bogv.sources.folders import find_images
from bogv.sources.samples import make_samples
from eval.errors import WorkbenchError

SMALL = (640, 480)
LARGE = (4000, 3000)
"""12 megapixels."""
QUALITY = 90
GRAIN = 3.0
"""Standard deviation of simulated sensor noise, in levels of 255. Enlarged images lack detail, and
a JPEG without detail is decoded faster than a camera's."""
TILE = 500
"""Pixels."""
LEAST_CUT = 0.7
"""The smallest share of the sides that a variation keeps."""


def find_sources(folder: Path | None, samples: Path) -> tuple[str, list[Path]]:
    """The source's name and the images' paths; None: bogv's samples, written to `samples`.

    Raises WorkbenchError if there are none, FileNotFoundError if the folder doesn't exist.
    """
    if folder is None:
        return "bogv's samples", make_samples(samples)
    paths = find_images([folder])
    if not paths:
        raise WorkbenchError(f"There are no images in {folder}.")
    return folder.resolve().name, paths


def make_inputs(
    paths: Sequence[Path],
    folder: Path,
    count: int,
    size: tuple[int, int],
    seed: int,
    *,
    progress: bool = False,
) -> list[Path]:
    """Write `count` JPEGs of `size` to `folder`, no two alike; the same for the same seed.

    The images are taken in turns, each time cut, mirrored and grained another way. Raises
    WorkbenchError for one that can't be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    make = partial(_make, paths, folder, size, seed)
    with ThreadPoolExecutor(cpu_count() or 1) as threads:
        made = threads.map(make, range(count))
        bar = tqdm(made, f"{size[0]} × {size[1]}", total=count, unit="image", disable=not progress)
        return list(bar)


def _make(
    paths: Sequence[Path], folder: Path, size: tuple[int, int], seed: int, number: int
) -> Path:
    generator = np.random.default_rng([seed, *size, number])
    source = paths[number % len(paths)]
    try:
        with Image.open(source) as image:
            picture = _crop_to(ImageOps.exif_transpose(image).convert("RGB"), size, generator)
    except (OSError, ValueError, SyntaxError) as error:
        raise WorkbenchError(f"The image {str(source)!r} can't be read: {error}") from error
    made = folder / f"{number:06}.jpg"
    _add_grain(picture, generator).save(made, "JPEG", quality=QUALITY)
    return made


def _crop_to(
    image: Image.Image, size: tuple[int, int], generator: np.random.Generator
) -> Image.Image:
    """A part of the image, of the size's shape, scaled to it; every other one mirrored."""
    shape = ImageOps.fit(image, _fit_size(image.size, size)) if image.size != size else image
    width, height = (round(side * generator.uniform(LEAST_CUT, 1)) for side in shape.size)
    left = int(generator.integers(0, shape.width - width + 1))
    top = int(generator.integers(0, shape.height - height + 1))
    part = shape.crop((left, top, left + width, top + height))
    part = ImageOps.mirror(part) if generator.random() < 0.5 else part
    return part.resize(size, Image.Resampling.BICUBIC)


def _fit_size(given: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the shape of `size` within `given`."""
    scale = min(given[0] / size[0], given[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _add_grain(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """With noise in its brightness; a tile of it, again and again, for 12 megapixels take long."""
    noise = generator.standard_normal((TILE, TILE), np.float32) * np.float32(GRAIN)
    tile = np.clip(np.rint(noise) + 128, 0, 255).astype(np.uint8)
    times = -(-image.height // TILE), -(-image.width // TILE)
    grain = Image.fromarray(np.tile(tile, times)[: image.height, : image.width])
    return ImageChops.add(image, Image.merge("RGB", [grain] * 3), offset=-128)
