"""Find, fetch and verify the ResNet50 weights; the fingerprint of what they give."""

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

WAYS_OUT = (
    "To start with other weights, name another BOGV_DATA_DIR (or BOGV_COLLECTION on a server)"
    " and add the images again."
)
UNTRAINED_WARNING = (
    "The weights are UNTRAINED: the network has learnt nothing and finds near-copies and similar"
    f" colours, no more. {WAYS_OUT}"
)


@dataclass(frozen=True)
class Weights:
    """Which weights, and the fingerprint of the embeddings they give."""

    name: str
    """`imagenet1k-v1`, `custom` or `untrained`."""
    path: Path | None
    """None: untrained, seeded with `seed`."""
    fingerprint: str
    """12 hex digits: embeddings can be compared only where these are equal."""
    seed: int = _UNTRAINED_SEED
    int8: Path | None = None
    """OpenVINO's model of them in int8, where that is to run."""

    @property
    def trained(self) -> bool:
        """False where the network has learnt nothing and finds near-copies and colours alone."""
        return self.name != UNTRAINED


def resolve(
    choice: str,
    begun_with: str | None = None,
    may_be_untrained: bool = True,
    url: str = URL,
    *,
    precision: Precision = "auto",
    models: Path | None = None,
) -> Weights:
    """The weights to use.

    choice: `auto`, `imagenet`, `untrained`, or the path of a state dict of torchvision's ResNet50.
    begun_with: the fingerprint of the gallery that is there; it keeps the weights that it was
    begun with. may_be_untrained: whether `auto` may go on without trained weights. precision:
    `auto` takes int8 for a gallery that was begun with it, and never else. models: the folder of
    models in int8.

    Raises WeightsUnavailable, GalleryMismatch.
    """
    weights = _chosen(choice, begun_with, may_be_untrained, url, models)
    quantized = _quantized(weights, models)
    if precision == "int8" or (precision == "auto" and _is(quantized, begun_with)):
        if quantized is None:
            raise WeightsUnavailable(
                f"There is no int8 model of these weights yet ({int8_path(weights, models)}):"
                " `python -m bogv quantize FOLDER` makes one from images of yours."
            )
        weights = quantized
    if begun_with not in {None, weights.fingerprint}:
        raise GalleryMismatch(
            f"The gallery was made with weights of fingerprint {begun_with}, but BOGV_WEIGHTS="
            f"{choice} and BOGV_PRECISION={precision} give {weights.name} ({weights.fingerprint})."
            f" {WAYS_OUT}"
        )
    return weights


def int8_path(weights: Weights, models: Path | None) -> Path:
    """Where the int8 model of these weights lies."""
    return (models or Path()) / f"resnet50-{weights.fingerprint}-int8.xml"


def with_int8(weights: Weights, path: Path) -> Weights:
    """The weights by way of their int8 model, whose fingerprint tells what it was calibrated on.

    Raises WeightsUnavailable.
    """
    digest = _digest(path.with_suffix(".bin"))
    return replace(weights, int8=path, fingerprint=_fingerprint(f"int8-{digest}"))


def _quantized(weights: Weights, models: Path | None) -> Weights | None:
    path = int8_path(weights, models)
    return with_int8(weights, path) if path.exists() else None


def _is(weights: Weights | None, fingerprint: str | None) -> bool:
    return weights is not None and weights.fingerprint == fingerprint


def _chosen(
    choice: str, begun_with: str | None, may_be_untrained: bool, url: str, models: Path | None
) -> Weights:
    untrained = Weights(UNTRAINED, None, _fingerprint(f"untrained-{_UNTRAINED_SEED}"))
    keeps_untrained = may_be_untrained and (
        _is(untrained, begun_with) or _is(_quantized(untrained, models), begun_with)
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
        if choice == "imagenet" or not may_be_untrained:
            raise
        if begun_with is not None:
            raise GalleryMismatch(
                f"The gallery was made with trained weights that can't be had now: {error}"
            ) from error
        log.warning("%s Going on with untrained weights.", error)
        return untrained


def fetch(url: str = URL, folder: Path | None = None) -> Path:
    """The file behind `url`, from torch's own download cache or downloaded into it, verified.

    The file's name contains the first digits of its SHA-256. Raises WeightsUnavailable.
    """
    target = (folder or hub_folder()) / url.rsplit("/", 1)[1]
    if target.exists():
        return target
    try:
        download(url, target, lambda partial: _check(target, _digest(partial)), label="Weights")
    except (httpx.HTTPError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise WeightsUnavailable(f"The weights can't be fetched from {url}: {reason}.") from error
    return target


def hub_folder() -> Path:
    """Where torch.hub keeps downloads; worked out here because importing torch takes seconds."""
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
    """Whatever changes the embeddings changes the fingerprint."""
    parts = {
        "weights": weights,
        "architecture": "resnet50",
        "layer": "avgpool",
        "transform": "resize256-bilinear-crop224",
        "dimension": DIMENSION,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
