"""The features of a picture, by which geometry compares it with others.

SIFT: Lowe, Distinctive Image Features from Scale-Invariant Keypoints, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.records import Pixels

SIDE = 384
"""The longer side at which pictures are compared, in pixels: that of a thumbnail. Smaller pictures
are enlarged."""
MIN_SHORT_SIDE = 16
"""Pixels; a strip thinner than this has no features."""
MAX_FEATURES = 1000
CONTRAST = 0.02
"""Half of Lowe's threshold: soft pictures, and small parts of pictures, have features too."""

Points = NDArray[np.complex128]
"""In pixels: x + iy."""


@dataclass(frozen=True, eq=False)
class Features:
    """A picture's SIFT features, scaled to a longer side of SIDE pixels; n at most MAX_FEATURES."""

    width: int
    """Pixels, after scaling."""
    height: int
    points: Points
    """(n,), in pixels: x + iy from the left upper corner."""
    frames: Points
    """(n,): diameter in pixels times e^(i orientation)."""
    descriptors: NDArray[np.uint8]
    """(n, 128): SIFT as integers, 4 rows by 4 columns by 8 directions."""


def describe(pixels: Pixels) -> Features:
    """Extract features. pixels: (h, w, 3) uint8 RGB or (h, w) uint8 grey, of any size.

    cv2 takes its own threads for it (`cv2.setNumThreads`), and releases the GIL.
    """
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width, 1)
    size = round(width * scale), round(height * scale)
    if min(size) < MIN_SHORT_SIDE:
        return _pack(size, (), None)
    import cv2

    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(np.ascontiguousarray(grey), size, interpolation=how)
    sift = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=CONTRAST)
    found, descriptors = sift.detectAndCompute(grey, None)
    return _pack(size, found, descriptors)


def _pack(size: tuple[int, int], found: Sequence[Any], descriptors: Any) -> Features:
    """cv2's keypoints and descriptors as arrays. Its points count from a pixel's centre."""
    # Ties with the last one may make them more than asked for. Without any, descriptors is None.
    count = min(len(found), MAX_FEATURES)
    values = np.array([(*each.pt, each.size, each.angle) for each in found[:count]])
    x, y, diameter, degrees = values.reshape(count, 4).T
    return Features(
        *size,
        points=(x + 0.5) + 1j * (y + 0.5),
        frames=diameter * np.exp(1j * np.radians(degrees)),
        descriptors=(descriptors[:count] if count else np.empty((0, 128))).astype(np.uint8),
    )


_BINS = np.arange(128).reshape(4, 4, 8)
_MIRRORED_BINS = _BINS[::-1][:, :, -np.arange(8) % 8].ravel()


def mirror(features: Features) -> Features:
    """The features of the picture with left and right swapped, without the picture.

    A feature's square is read along its orientation, so swapping sides reverses its rows, and turns
    the directions of its gradients the other way (Guo and Cao, MIFT, 2012).
    """
    return Features(
        features.width,
        features.height,
        features.width - features.points.conj(),
        -features.frames.conj(),
        features.descriptors[:, _MIRRORED_BINS],
    )
