"""The options of `speed`, and the configuration of bogv that it measures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bogv.bootstrap import make_search
from bogv.config import Engine, Precision, Settings
from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.weights import IMAGENET, UNTRAINED, Weights, resolve
from bogv.imaging.decoder import Decoder
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from eval.harness.galleries import CALL_SECONDS


@dataclass(frozen=True)
class SpeedOptions:
    """The options of a measurement."""

    images: Path | None = None
    """A folder; None: bogv's samples."""
    count: int = 200
    """Images of 640 × 480 to be added; a quarter as many of 12 megapixels."""
    gallery: int = 10_000
    searches: int = 200
    """For each number of clients."""
    soak: int = 1000
    """Searches between two measurements of memory."""
    weights: str = "auto"
    precision: Precision = "auto"
    seed: int = 0
    command: str = ""
    progress: bool = True

    @property
    def large(self) -> int:
        """Images of 12 megapixels."""
        return max(1, self.count // 4)


@dataclass(frozen=True)
class Setting:
    """The configuration of bogv that is measured."""

    data: Path
    """Its data folder."""
    weights: Weights
    engine: Engine
    precision: Precision
    max_upload: int
    max_pixels: int

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for a server with this configuration, overriding the machine's."""
        weights = self.weights
        named = {UNTRAINED: UNTRAINED, IMAGENET: "imagenet"}.get(weights.name, str(weights.path))
        others = {field.validation_alias for field in Settings.model_fields.values()}
        return {
            **{str(name): "" for name in others},  # empty counts as unset
            "BOGV_WEIGHTS": named,
            "BOGV_ENGINE": self.engine,
            "BOGV_PRECISION": self.precision,
            "BOGV_MAX_UPLOAD_MB": str(self.max_upload / 2**20),
            "BOGV_MAX_PIXELS": str(self.max_pixels),
        }

    def embedder(self) -> Embedder:
        """As bogv's bootstrap makes it."""
        return load_embedder(self.weights, self.engine, self.data / "cache", self.precision)

    def store(self, folder: Path) -> MilvusStore:
        """Milvus Lite in a folder, under the name that a server takes."""
        return MilvusStore.lite(folder, "images", timeout=CALL_SECONDS)

    @contextmanager
    def opened(self, folder: Path, decoder: Decoder) -> Iterator[ImageSearch]:
        """The service, as bogv's bootstrap puts it together, on a gallery in `folder`."""
        thumbnails = folder / "thumbnails"
        search = make_search(decoder, self.embedder(), self.store(folder), thumbnails)
        with closing(search):
            yield search


def make_setting(options: SpeedOptions, data: Path) -> Setting:
    """A data folder of its own, with the int8 models that the user's has."""
    settings = Settings()
    data.mkdir()
    if settings.models_dir.is_dir():
        shutil.copytree(settings.models_dir, data / "models")
    weights = resolve(options.weights, precision=options.precision, models=data / "models")
    return Setting(
        data,
        weights,
        settings.engine,
        options.precision,
        settings.max_upload,
        settings.max_pixels,
    )
