"""A fingerprint of whatever embeddings depend on, taken by embedding four images.

The weights' fingerprint and the engine's name don't change when somebody edits the decoder. So four
small images in `canonical/` go through the decoder and the network of the run, before anything
else does, and the result is hashed. They cover the ways through the decoder: `chirp.png` has all
frequencies, so that each resampling filter gives other pixels, and a palette; `turned.jpg` is large
enough to be scaled while it is decoded, and has an Exif orientation; `alpha.webp` is transparent;
`grey16.png` has 16 bits.
"""

from __future__ import annotations

import hashlib
from copy import copy
from pathlib import Path

import numpy as np

from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from eval.embedding.backbone import Inputs, prepare
from eval.embedding.settings import EmbeddingSettings
from eval.errors import WorkbenchError

IMAGES = Path(__file__).parent / "canonical"
LARGEST = 1560 * 1080
"""Pixels of the largest; a run's own limit may be lower, which is no reason to fail."""
PROJECTIONS = 8
STEP = 1e-3
"""Of the projections of a vector of length 1. Runs on one CPU agree in every bit, and engines of
one precision within 1e-6; bf16 is 4e-3 from fp32."""


def canonical_hash(
    embedder: Embedder, decoder: Decoder, settings: EmbeddingSettings, *, mirror: bool = False
) -> str:
    """12 hex digits, a hash of the canonical images' pixels and embeddings.

    The pixels are hashed exactly. Of the embeddings, (4, dimension), it is projections on a few
    fixed directions, rounded: of 8,192 rounded numbers, some would lie so near to a boundary that
    noise of 1e-7 (on a GPU) changes them.

    Raises WorkbenchError if the images are missing or the network gives NaN; what decoder and
    embedder raise.
    """
    try:
        files = [path.read_bytes() for path in sorted(IMAGES.iterdir())]
    except OSError as error:
        raise WorkbenchError(f"The canonical images can't be read: {error}.") from error
    unlimited = copy(decoder)
    unlimited.max_bytes = max(decoder.max_bytes, *map(len, files))
    unlimited.max_pixels = max(decoder.max_pixels, LARGEST)
    pixels = np.stack(
        [prepare(embedder, data, unlimited, settings, mirror=mirror) for data in files]
    )
    vectors = embedder.embed(pixels)
    if not np.isfinite(vectors).all():
        raise WorkbenchError(
            f"The network gives NaN or infinity: the weights ({embedder.weights.name}) or the"
            f" engine ({embedder.engine}) are broken."
        )
    return hashlib.sha256(hash_pixels(pixels).encode() + _round(vectors)).hexdigest()[:12]


def hash_pixels(pixels: Inputs) -> str:
    """32 hex digits. pixels: numbers of any shape."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()[:32]


def _round(vectors: Vectors) -> bytes:
    """(n, dimension) -> n · PROJECTIONS integers, as bytes."""
    directions = np.random.default_rng(0).standard_normal((vectors.shape[1], PROJECTIONS))
    steps = np.rint(vectors.astype(np.float64) @ directions / STEP)
    return steps.astype("<i8").tobytes()
