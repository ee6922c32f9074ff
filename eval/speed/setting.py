"""The options of `speed`, and the configuration of bogv that it measures."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bogv.bootstrap import make_search
from bogv.config import Engine, Precision, Settings
from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.weights import IMAGENET, UNTRAINED, Weights, resolve
from bogv.imaging.decoder import Decoder
from bogv.ingest import BATCH
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from eval.harness.galleries import CALL_SECONDS

PRECISIONS: Sequence[Precision] = ("fp32", "bf16", "int8")


@dataclass(frozen=True)
class SpeedOptions:
    """The options of a measurement."""

    images: Path | None = None
    """A folder; None: bogv's samples."""
    count: int = 7 * BATCH
    """Images of 640 × 480 to be added. Seven whole batches: with fewer, filling and draining the
    pipeline take a share of the time that decides."""
    large: int = 7 * BATCH
    """Images of 12 megapixels to be added."""
    rounds: int = 3
    """How often bogv and what it is compared with are measured, in turns."""
    gallery: int = 10_000
    searches: int = 200
    """For each number of clients, in each round."""
    soak: int = 1000
    """Searches between two measurements of memory."""
    weights: str = "auto"
    precisions: Sequence[Precision] = ("auto",)
    """Those to be compared, where `auto` alone means all; the first one is that of all else."""
    seed: int = 0
    command: str = ""
    progress: bool = True

    @property
    def precision(self) -> Precision:
        """Of all but the comparison of precisions."""
        return self.precisions[0]

    @property
    def compared(self) -> Sequence[Precision]:
        """The precisions that are compared."""
        named = [each for each in dict.fromkeys(self.precisions) if each != "auto"]
        return named or PRECISIONS


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
        others = {field.validation_alias for field in Settings.model_fields.values()}
        return {
            **{str(name): "" for name in others},  # empty counts as unset
            "BOGV_WEIGHTS": self._named_weights,
            "BOGV_ENGINE": self.engine,
            "BOGV_PRECISION": self.precision,
            "BOGV_MAX_UPLOAD_MB": str(self.max_upload / 2**20),
            "BOGV_MAX_PIXELS": str(self.max_pixels),
        }

    @property
    def _named_weights(self) -> str:
        names = {UNTRAINED: UNTRAINED, IMAGENET: "imagenet"}
        return names.get(self.weights.name, str(self.weights.path))

    def with_precision(self, precision: Precision) -> Setting:
        """The same in another precision. Raises WeightsUnavailable without an int8 model."""
        # The user's own folder, which an error names, and not the copy for the server.
        models = Settings().models_dir
        weights = resolve(self._named_weights, precision=precision, models=models)
        return replace(self, weights=weights, precision=precision)

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
