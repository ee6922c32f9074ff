"""Loads the network of a setting, in this process or another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bogv.config import Engine, Precision
from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.weights import resolve
from bogv.imaging.decoder import Decoder
from eval.embedding.settings import EmbeddingSettings, network_of

KEPT = 4
"""Networks in memory, some 100 to 200 MB each: of a setting with three scales, and one more."""


@dataclass(frozen=True)
class Loading:
    """What networks and decoders are made with; another process can be given it."""

    weights: str
    """As of `bogv.embedding.weights.resolve`."""
    engine: Engine
    cache_dir: Path
    models_dir: Path
    max_upload: int
    max_pixels: int

    def embedder(self, precision: Precision, settings: EmbeddingSettings) -> Embedder:
        """The network of a setting. Raises what `resolve` and `load_embedder` raise."""
        network = EmbeddingSettings(pooling=settings.pooling, size=settings.size)
        return _load(self, precision, network)

    def decoder(self) -> Decoder:
        """bogv's decoder."""
        return Decoder(self.max_upload, self.max_pixels)


@lru_cache(maxsize=KEPT)
def _load(loading: Loading, precision: Precision, settings: EmbeddingSettings) -> Embedder:
    weights = resolve(loading.weights, precision=precision, models=loading.models_dir)
    network = network_of(settings)
    return load_embedder(weights, loading.engine, loading.cache_dir, precision, network)
