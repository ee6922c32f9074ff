"""PDQ, a perceptual hash of 256 bits: pictures that are copies differ in few of them.

Source: Facebook, "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019
(https://github.com/facebook/ThreatExchange/blob/main/hashing/hashing.pdf). The hash tells which of
the 16 × 16 lowest frequencies of the luminance are above their median. Box filter, decimation and
cosine transform are linear, and act on rows and columns apart: one matrix for each does all three.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bogv.records import Pixels

BITS = 256
BYTES = BITS // 8
ORIENTATIONS = 8
MAX_QUALITY = 100

_GRID = 64  # the luminance is sampled at 64 × 64 points
_FREQUENCIES = 16
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_GRADIENT_LEVELS = 90  # the sum of gradients, in percent of white, for one point of quality

Floats = NDArray[np.float32]


def pdq_hashes(pixels: Pixels) -> tuple[Pixels, int]:
    """The hashes of a picture in its eight orientations, and its quality.

    pixels: (height, width, 3) uint8 RGB. Returns (8, 32) uint8, where hash k is exactly that of the
    picture turned as the Exif orientation k + 1 says, 256 bits packed as in the reference's
    hexadecimal form; and the quality, 0 to 100. Below 50, a picture is so plain that its hash says
    little.
    """
    luminance = pixels.astype(np.float32) @ _LUMINANCE
    height, width = luminance.shape
    grid = _sampling(height) @ luminance @ _sampling(width).T
    frequencies = _analysis(height) @ luminance @ _analysis(width).T
    return _pack(_orientations(frequencies)), _quality(grid)


@lru_cache(maxsize=32)
def _sampling(length: int) -> Floats:
    """(64, length): two passes of the box filter along a side, then 64 points of it."""
    window = (length + 2 * _GRID - 1) // (2 * _GRID)
    after = (window + 2) // 2 - 1
    offset = np.arange(length) - np.arange(length)[:, np.newaxis]
    box = ((offset <= after) & (offset > after - window)).astype(np.float64)
    box /= box.sum(axis=1, keepdims=True)
    points = ((np.arange(_GRID) + 0.5) * length / _GRID).astype(int)
    sampling: Floats = (box[points] @ box).astype(np.float32)
    return sampling


@lru_cache(maxsize=32)
def _analysis(length: int) -> Floats:
    """(32, length): frequencies 1 to 16 of the cosine transform (DCT-II) of the points along a
    side, then the same with the side mirrored."""
    frequency = np.arange(1, _FREQUENCIES + 1)[:, np.newaxis]
    angle = np.pi / 2 / _GRID * frequency * (2 * np.arange(_GRID) + 1)
    cosines = np.sqrt(2 / _GRID) * np.cos(angle) @ _sampling(length)
    analysis: Floats = np.concatenate([cosines, cosines[:, ::-1]]).astype(np.float32)
    return analysis


def _orientations(frequencies: Floats) -> Floats:
    """(32, 32), from both ends of both sides -> (8, 256), of the Exif orientations 1 to 8."""
    ends = frequencies.reshape(2, _FREQUENCIES, 2, _FREQUENCIES)
    upright = [ends[y, :, x] for y, x in ((0, 0), (0, 1), (1, 1), (1, 0))]
    # Orientation 5 transposes; the others of the second half are mirrored before that.
    sideways = [upright[i].T for i in (0, 3, 2, 1)]
    return np.stack(upright + sideways).reshape(ORIENTATIONS, BITS)


def _pack(frequencies: Floats) -> Pixels:
    """(n, 256) -> (n, 32): the bits of those above the median, the highest frequencies first."""
    middle = BITS // 2 - 1  # of an even number the lower median, as in the reference
    median = np.partition(frequencies, middle, axis=1)[:, middle, np.newaxis]
    return np.packbits((frequencies > median)[:, ::-1], axis=1)


def _quality(grid: Floats) -> int:
    """0 to 100, by the gradients between neighbouring points; each is rounded down."""
    steps = (np.diff(grid, axis=axis) * (100 / 255) for axis in (0, 1))
    total = sum(int(np.abs(each).astype(int).sum()) for each in steps)
    return min(total // _GRADIENT_LEVELS, MAX_QUALITY)
