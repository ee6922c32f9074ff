"""Finds, downloads and verifies the ResNet50 weights, and computes their fingerprint."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from bogv.config import Precision
from bogv.errors import GalleryMismatch, WeightsUnavailable
from bogv.files import download, file_digest

log = logging.getLogger(__name__)

# torchvision's ResNet50_Weights.IMAGENET1K_V1; the name carries the start of the file's SHA-256.
# V1, not V2: V2's features rank near-identical photos far lower (pytorch/vision#8382).
URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
DIMENSION = 2048
IMAGENET, CUSTOM, UNTRAINED = "imagenet1k-v1", "custom", "untrained"
_UNTRAINED_SEED = 0

NEW_GALLERY_HINT = (
    "To use other weights, set BOGV_DATA_DIR to another folder (on a server: BOGV_COLLECTION to"
    " another name) and add the images again."
)
UNTRAINED_WARNING = (
    "The weights are UNTRAINED: searches find only near-duplicates and similar colours."
    f" {NEW_GALLERY_HINT}"
)


@dataclass(frozen=True)
class Weights:
    """A set of weights, and the fingerprint of its embeddings."""

    name: str
    """`imagenet1k-v1`, `custom` or `untrained`."""
    path: Path | None
    """None: untrained, seeded with `seed`."""
    fingerprint: str
    """12 hex digits: only embeddings with the same fingerprint can be compared."""
    seed: int = _UNTRAINED_SEED
    int8: Path | None = None
    """OpenVINO's int8 model of the weights, if that is to be used."""

    @property
    def is_trained(self) -> bool:
        """False for random weights, which find only near-duplicates and similar colours."""
        return self.name != UNTRAINED


def resolve(
    choice: str,
    gallery_fingerprint: str | None = None,
    allow_untrained: bool = True,
    url: str = URL,
    *,
    precision: Precision = "auto",
    models: Path | None = None,
) -> Weights:
    """Choose the weights.

    choice: `auto`, `imagenet`, `untrained`, or the path of a state dict of torchvision's ResNet50.
    gallery_fingerprint: of the existing gallery, if any; `auto` keeps its weights. allow_untrained:
    whether `auto` may fall back to untrained weights. precision: `auto` uses int8 only for a
    gallery that was made with it. models: the folder of int8 models.

    Raises WeightsUnavailable, GalleryMismatch.
    """
    weights = _choose(choice, gallery_fingerprint, allow_untrained, url, models)
    quantized = _find_int8(weights, models)
    if precision == "int8" or (
        precision == "auto" and _has_fingerprint(quantized, gallery_fingerprint)
    ):
        if quantized is None:
            raise WeightsUnavailable(
                f"There is no int8 model of these weights yet ({int8_path(weights, models)}):"
                " make one from your images with `python -m bogv quantize FOLDER`."
            )
        weights = quantized
    if gallery_fingerprint not in {None, weights.fingerprint}:
        raise GalleryMismatch(
            f"The gallery was made with weights of fingerprint {gallery_fingerprint}, but"
            f" BOGV_WEIGHTS={choice} and BOGV_PRECISION={precision} give {weights.name}"
            f" ({weights.fingerprint})."
            f" {NEW_GALLERY_HINT}"
        )
    return weights


def int8_path(weights: Weights, models: Path | None) -> Path:
    """The path of the int8 model of these weights."""
    return (models or Path()) / f"resnet50-{weights.fingerprint}-int8.xml"


def with_int8(weights: Weights, path: Path) -> Weights:
    """The weights with their int8 model, and its fingerprint, which depends on the calibration.

    Raises WeightsUnavailable.
    """
    digest = _digest(path.with_suffix(".bin"))
    return replace(weights, int8=path, fingerprint=_fingerprint(f"int8-{digest}"))


def _find_int8(weights: Weights, models: Path | None) -> Weights | None:
    path = int8_path(weights, models)
    return with_int8(weights, path) if path.exists() else None


def _has_fingerprint(weights: Weights | None, fingerprint: str | None) -> bool:
    return weights is not None and weights.fingerprint == fingerprint


def _choose(
    choice: str,
    gallery_fingerprint: str | None,
    allow_untrained: bool,
    url: str,
    models: Path | None,
) -> Weights:
    untrained = Weights(UNTRAINED, None, _fingerprint(f"untrained-{_UNTRAINED_SEED}"))
    keeps_untrained = allow_untrained and (
        _has_fingerprint(untrained, gallery_fingerprint)
        or _has_fingerprint(_find_int8(untrained, models), gallery_fingerprint)
    )
    if choice == "untrained" or (choice == "auto" and keeps_untrained):
        return untrained
    if choice not in {"auto", "imagenet"}:
        return Weights(CUSTOM, Path(choice), _fingerprint(_digest(Path(choice))))
    try:
        path = fetch(url)
        digest = _digest(path)
        _check(path, digest)
        return Weights(IMAGENET, path, _fingerprint(digest))
    except WeightsUnavailable as error:
        if choice == "imagenet" or not allow_untrained:
            raise
        if gallery_fingerprint is not None:
            raise GalleryMismatch(
                f"The gallery was made with trained weights, which are unavailable: {error}"
            ) from error
        log.warning("%s Using untrained weights instead.", error)
        return untrained


def fetch(url: str = URL, folder: Path | None = None) -> Path:
    """The path of the file from `url` in torch's download cache; it is downloaded and verified if
    missing. The file's name contains the first digits of its SHA-256. Raises WeightsUnavailable."""
    target = (folder or hub_folder()) / url.rsplit("/", 1)[1]
    if target.exists():
        return target
    try:
        download(url, target, lambda partial: _check(target, _digest(partial)), label="Weights")
    except (httpx.HTTPError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise WeightsUnavailable(
            f"The weights can't be downloaded from {url}: {reason}."
        ) from error
    return target


def hub_folder() -> Path:
    """The folder of torch.hub's downloads, found without importing torch, which takes seconds."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise WeightsUnavailable(f"The weights {str(path)!r} can't be read: {error}.") from error


def _check(path: Path, digest: str) -> None:
    expected = path.stem.rsplit("-", 1)[1]
    if not digest.startswith(expected):
        raise WeightsUnavailable(
            f"The weights {str(path)!r} are damaged: their SHA-256 begins with {digest[:8]}, not"
            f" with {expected}."
        )


def _fingerprint(weights: str) -> str:
    """A hash of everything that determines the embeddings."""
    parts = {
        "weights": weights,
        "architecture": "resnet50",
        "layer": "avgpool",
        "transform": "resize256-bilinear-crop224",
        "dimension": DIMENSION,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
