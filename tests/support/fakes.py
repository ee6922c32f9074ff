"""Small deterministic stand-ins."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from bogv.bootstrap import make_search
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION, Weights
from bogv.imaging.decoder import Decoder
from bogv.imaging.sandbox import Sandbox
from bogv.records import Pixels, Vectors
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore


class FakeEngine:
    """The colours of an 8 x 8 grid, spread over 2048 numbers: alike pictures stay alike."""

    name = "fake"
    batch = 64

    def __init__(self) -> None:
        self.batches: list[int] = []
        self._spread = np.random.default_rng(0).random((192, DIMENSION), np.float32)

    def compute(self, pixels: Pixels) -> Vectors:
        """(n, size, size, 3) -> (n, 2048)."""
        self.batches.append(len(pixels))
        cell = pixels.shape[1] // 8
        grid = pixels.reshape(len(pixels), 8, cell, 8, cell, 3).mean(axis=(2, 4)) - 127.5
        features: Vectors = np.maximum(grid.reshape(len(pixels), 192) @ (self._spread - 0.5), 0)
        return features.astype(np.float32)

    def compute_bulk(self, pixels: Pixels) -> Vectors:
        """The same."""
        return self.compute(pixels)

    def compute_maps(self, pixels: Pixels) -> Vectors:
        """(n, size, size, 3) -> (n, 7, 7, 2048): more from place to place, `compute` on average."""
        weights = np.arange(49, dtype=np.float32).reshape(1, 7, 7, 1) / np.float32(24)
        maps: Vectors = weights * self.compute(pixels)[:, np.newaxis, np.newaxis]
        return maps


class SharedSandbox(Sandbox):
    """Decoding processes that outlive a service: starting one takes 0.2 s of a core."""

    def close(self) -> None:
        """They end with the process that runs the tests."""


SANDBOX = SharedSandbox()


def fake_embedder(fingerprint: str = "fake0000") -> Embedder:
    """An embedder in no time."""
    return Embedder(Weights("custom", None, fingerprint), FakeEngine())


def lite_search(folder: Path, max_bytes: int = 100_000) -> ImageSearch:
    """A service on an empty gallery in Milvus Lite, with the fake embedder."""
    return fake_search(MilvusStore.lite(folder, "images"), folder, max_bytes=max_bytes)


def fake_search(
    store: MilvusStore,
    folder: Path,
    *,
    embedder: Embedder | None = None,
    max_bytes: int = 100_000,
    max_pixels: int = 1_000_000,
    pending: Path | None = None,
    query_expansion: int = 0,
) -> ImageSearch:
    """The service on this store with the fake embedder, its thumbnails below `folder`."""
    decoder = Decoder(max_bytes, max_pixels)
    decoder.sandbox = SANDBOX
    return make_search(
        decoder,
        embedder or fake_embedder(),
        store,
        folder / "thumbnails",
        pending,
        query_expansion,
    )


def picture(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """A picture of soft coloured patches; each seed another."""
    patches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture in a format."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@cache
def png(seed: int) -> bytes:
    """The bytes of `picture(seed)`."""
    return encoded(picture(seed))


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0  # seconds

    def __call__(self) -> float:
        return self.now
