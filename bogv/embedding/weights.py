"""Chooses the ResNet50 weights for a gallery."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bogv.config import Precision
from bogv.embedding.fingerprints import (
    DIMENSION,
    digest_of,
    fingerprint_of,
    fingerprints_of_file,
)
from bogv.embedding.weight_files import (
    START,
    URL,
    Patience,
    expected_digest,
    fetch_hub,
    fetch_torchvision,
    local_files,
    name_of,
)
from bogv.errors import GalleryMismatch, WeightsUnavailable

__all__ = ["DIMENSION", "Weights", "resolve"]

log = logging.getLogger(__name__)

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
HOW_TO_GET = "`python -m bogv weights` says which file to copy where."


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
    aliases: tuple[str, ...] = ()
    """Other fingerprints of the same weights, by which older galleries are named."""

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
    patience: Patience = START,
) -> Weights:
    """Choose the weights.

    choice: `auto`, `imagenet`, `untrained`, or the path of a state dict of torchvision's ResNet50,
    as torch's file or as safetensors. Trained weights are looked for on this machine, then at
    `url`, torchvision's, and then on the Hugging Face hub.
    gallery_fingerprint: of the existing gallery, if any; `auto` keeps its weights. allow_untrained:
    whether `auto` may fall back to untrained weights. precision: `auto` uses int8 only for a
    gallery that was made with it. models: the folder of int8 models, which also has the record of
    the weights' numbers, and may have the weights. patience: time limits of downloads.

    Raises WeightsUnavailable, GalleryMismatch.
    """
    weights = _choose(choice, gallery_fingerprint, allow_untrained, url, models, patience)
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
    elif gallery_fingerprint in weights.aliases:
        weights = _under(weights, gallery_fingerprint)
    if gallery_fingerprint not in {None, weights.fingerprint}:
        raise GalleryMismatch(
            f"The gallery was made with weights of fingerprint {gallery_fingerprint}, but"
            f" BOGV_WEIGHTS={choice} and BOGV_PRECISION={precision} give {weights.name}"
            f" ({weights.fingerprint}). {_hint(weights)}{NEW_GALLERY_HINT}"
        )
    return weights


def int8_path(weights: Weights, models: Path | None) -> Path:
    """The path of the int8 model of these weights: of the one that there is, or of a new one."""
    names = (weights.fingerprint, *weights.aliases)
    paths = [(models or Path()) / f"resnet50-{name}-int8.xml" for name in names]
    return next((path for path in paths if path.exists()), paths[0])


def with_int8(weights: Weights, path: Path) -> Weights:
    """The weights with their int8 model, and its fingerprint, which depends on the calibration.

    Raises WeightsUnavailable.
    """
    digest = digest_of(path.with_suffix(".bin"))
    return replace(weights, int8=path, fingerprint=fingerprint_of(f"int8-{digest}"), aliases=())


def find_trained(
    url: str, models: Path | None, problems: list[str], patience: Patience = START
) -> Iterator[Weights]:
    """The ImageNet weights, one after another: those on this machine, then downloaded ones.

    A download is tried only if the next is asked for, and only if its numbers can't be here
    already. What can't be used is told in `problems`.
    """

    def attempt(find: Callable[[], Path]) -> Weights | None:
        try:
            return _from_file(IMAGENET, find(), url, models)
        except WeightsUnavailable as error:
            problems.append(str(error))
            return None

    found: list[Weights] = []
    for path in local_files(url, models):
        if weights := attempt(lambda path=path: path):  # type: ignore[misc]
            found.append(weights)
            yield weights
    downloads: list[Callable[[], Path]] = []
    if not any(each.path and each.path.name == name_of(url) for each in found):
        downloads.append(lambda: fetch_torchvision(url, patience))
    if not found:
        downloads.append(lambda: fetch_hub(patience))
    for download in downloads:
        if weights := attempt(download):
            yield weights
            return


def _hint(weights: Weights) -> str:
    """Galleries of older versions are named by the file, of which the hub's has no trace."""
    if weights.name != IMAGENET or weights.path is None or weights.path.suffix == ".pth":
        return ""
    return f"A gallery made by an older bogv needs {name_of(URL)} itself. {HOW_TO_GET} "


def _from_file(name: str, path: Path, url: str, models: Path | None) -> Weights:
    expected = expected_digest(path, url) if name == IMAGENET else ""
    fingerprint, *aliases = fingerprints_of_file(path, models, expected)
    return Weights(name, path, fingerprint, aliases=tuple(aliases))


def _under(weights: Weights, alias: str) -> Weights:
    """The same weights with one of their aliases as the fingerprint."""
    others = {weights.fingerprint, *weights.aliases} - {alias}
    return replace(weights, fingerprint=alias, aliases=tuple(sorted(others)))


def _find_int8(weights: Weights, models: Path | None) -> Weights | None:
    path = int8_path(weights, models)
    return with_int8(weights, path) if path.exists() else None


def _fits(weights: Weights, gallery: str | None, models: Path | None) -> bool:
    """Whether a gallery of this fingerprint can be searched with them; any weights fit a new one.

    Also with their int8 model.
    """
    quantized = _find_int8(weights, models)
    return gallery in {None, weights.fingerprint, *weights.aliases} or _has_fingerprint(
        quantized, gallery
    )


def _has_fingerprint(weights: Weights | None, fingerprint: str | None) -> bool:
    return weights is not None and weights.fingerprint == fingerprint


def _choose(
    choice: str,
    gallery_fingerprint: str | None,
    allow_untrained: bool,
    url: str,
    models: Path | None,
    patience: Patience,
) -> Weights:
    untrained = Weights(UNTRAINED, None, fingerprint_of(f"untrained-{_UNTRAINED_SEED}"))
    keeps_untrained = (
        allow_untrained
        and gallery_fingerprint is not None
        and _fits(untrained, gallery_fingerprint, models)
    )
    if choice == "untrained" or (choice == "auto" and keeps_untrained):
        return untrained
    if choice not in {"auto", "imagenet"}:
        return _from_file(CUSTOM, Path(choice), url, models)
    try:
        return _choose_trained(gallery_fingerprint, url, models, patience)
    except WeightsUnavailable as error:
        if choice == "imagenet" or not allow_untrained:
            raise
        if gallery_fingerprint is not None:
            raise GalleryMismatch(
                f"The gallery was made with trained weights, which are unavailable: {error}"
            ) from error
        log.warning("%s Using untrained weights instead.", error)
        return untrained


def _choose_trained(
    gallery: str | None, url: str, models: Path | None, patience: Patience
) -> Weights:
    """Those that fit the gallery, or else the first. Raises WeightsUnavailable."""
    problems: list[str] = []
    first: Weights | None = None
    for weights in find_trained(url, models, problems, patience):
        first = first or weights
        if _fits(weights, gallery, models):
            first = weights
            break
    if first is None:
        raise WeightsUnavailable(" ".join((*problems, HOW_TO_GET)))
    for problem in problems:
        log.warning(problem)
    return first
