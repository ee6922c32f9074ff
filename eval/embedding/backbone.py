"""Other networks than bogv's, to compare with: an embedder with a pre-processing of its own.

`eval.backbones` makes them. Whatever has an `Embedder` at hand asks here what its network sees of
an image, and how many numbers it gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bogv.embedding.embedder import Embedder
from bogv.embedding.engines import Engine
from bogv.embedding.weights import DIMENSION, Weights
from bogv.imaging.decode import INPUT_SIZE, RESIZE_SIZE
from bogv.imaging.decoder import Decoder
from eval.embedding.settings import EmbeddingSettings, prepare_input

Inputs = NDArray[Any]
"""What a network sees: of bogv's own (size, size, 3) uint8, of others (3, h, w) float32."""


@dataclass(frozen=True)
class Transform:
    """A network's own pre-processing of an upright RGB image."""

    apply: Callable[[Image.Image], Inputs]
    """-> (3, h, w) float32, normalised."""
    side: int
    """The longer one of h and w."""


class Backbone(Embedder):
    """An embedder of another network."""

    def __init__(
        self,
        weights: Weights,
        engine: Engine,
        transform: Transform,
        dimension: int,
        description: dict[str, str],
    ) -> None:
        super().__init__(weights, engine)
        self.dimension = dimension
        self.description = description
        """For run.json and the report: what of the network is used, and how."""
        self._transform = transform

    def prepare(self, data: bytes, decoder: Decoder, *, mirror: bool = False) -> Inputs:
        """An image's bytes -> (3, h, w) float32; mirrored left to right.

        A large JPEG is scaled while it is decoded, to twice what the transform needs, as bogv's own
        is. Raises what `Decoder.decode` raises.
        """
        draft_side = 2 * self._transform.side * RESIZE_SIZE // INPUT_SIZE
        image, _ = decoder.decode_upright(data, draft_side=draft_side)
        seen = self._transform.apply(image)
        return np.ascontiguousarray(seen[:, :, ::-1]) if mirror else seen


def prepare(
    embedder: Embedder,
    data: bytes,
    decoder: Decoder,
    settings: EmbeddingSettings,
    *,
    mirror: bool = False,
) -> Inputs:
    """What the embedder's network sees of an image. Raises what `Decoder.decode` raises."""
    if isinstance(embedder, Backbone):
        return embedder.prepare(data, decoder, mirror=mirror)
    return prepare_input(data, decoder, settings, mirror=mirror)


def dimension_of(embedder: Embedder) -> int:
    """How many numbers its embeddings have."""
    return embedder.dimension if isinstance(embedder, Backbone) else DIMENSION
