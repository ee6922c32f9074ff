"""The files of the trained weights: where they may lie, and where they are downloaded from."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from bogv.embedding.fingerprints import check_digest
from bogv.embedding.state_dict import read_state_dict
from bogv.errors import WeightsUnavailable
from bogv.files import download

log = logging.getLogger(__name__)

# torchvision's ResNet50_Weights.IMAGENET1K_V1; the name carries the start of the file's SHA-256.
# V1, not V2: V2's features rank near-identical photos far lower (pytorch/vision#8382).
URL = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
# The same numbers: https://huggingface.co/timm/resnet50.tv_in1k
_REPOSITORY, _FILE = "timm/resnet50.tv_in1k", "model.safetensors"
HUB_NAME = f"{_REPOSITORY.split('/')[1]}.safetensors"
"""The name of the hub's file here, where others may be called `model.safetensors` too."""

MAX_BYTES = 250_000_000
"""Of a file with the weights of ResNet50."""
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads them


@dataclass(frozen=True)
class Patience:
    """Time limits of a download."""

    connect: float
    """Seconds until there is a connection, for each of the two addresses."""
    stall: float
    """Seconds without a byte."""


START = Patience(connect=5, stall=15)
"""A start without a network goes on within ten seconds."""
COMMAND = Patience(connect=20, stall=60)
"""For whoever asks for the weights and waits."""


def torch_folder() -> Path:
    """The folder of torch.hub's downloads, found without importing torch, which takes seconds."""
    home = os.environ.get("TORCH_HOME") or f"{_cache()}/torch"
    return Path(home).expanduser() / "hub" / "checkpoints"


def hub_url() -> str:
    """The address of the hub's file; HF_ENDPOINT names a mirror."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return f"{endpoint.rstrip('/')}/{_REPOSITORY}/resolve/main/{_FILE}"


def local_files(url: str, models: Path | None) -> list[Path]:
    """The files that are there, torchvision's first, since its checksum is known.

    They may lie in bogv's own folder of models, in torch's cache, and in that of huggingface_hub.
    """
    folders = [each for each in (models, torch_folder()) if each is not None]
    names = (name_of(url), HUB_NAME)
    paths = [folder / name for name in names for folder in folders]
    snapshots = _hub_cache() / f"models--{_REPOSITORY.replace('/', '--')}" / "snapshots"
    paths += sorted(snapshots.glob(f"*/{_FILE}"))
    return [path for path in paths if path.is_file()]


def name_of(url: str) -> str:
    """The file's name in an address."""
    return url.rsplit("/", 1)[1]


def fetch_torchvision(url: str, patience: Patience = START, limit: int = MAX_BYTES) -> Path:
    """Download torchvision's file, of at most `limit` bytes, into torch's cache.

    Raises WeightsUnavailable.
    """
    target = torch_folder() / name_of(url)
    expected = expected_digest(target, url)
    return _fetch(url, target, lambda partial: check_digest(partial, expected), patience, limit)


def fetch_hub(patience: Patience = START) -> Path:
    """Download the hub's file to beside torchvision's. Raises WeightsUnavailable.

    Its checksum is unknown, so its form is verified. Not with huggingface_hub, which has no limit
    of time for resolving names, and would write its lock files and links.
    """
    url = hub_url()
    if any(os.environ.get(each, "").upper() in _TRUE for each in _OFFLINE):
        raise WeightsUnavailable(f"{url} is not asked, since {_OFFLINE[0]} is set.")
    return _fetch(url, torch_folder() / HUB_NAME, read_state_dict, patience, MAX_BYTES)


def expected_digest(path: Path, url: str) -> str:
    """The first digits of its SHA-256, which stand in torchvision's name; empty: not known."""
    return path.stem.rsplit("-", 1)[1] if path.name == name_of(url) else ""


def _fetch(
    url: str, target: Path, check: Callable[[Path], object], patience: Patience, limit: int
) -> Path:
    def verify(partial: Path) -> None:
        try:
            check(partial)
        except WeightsUnavailable as error:
            raise WeightsUnavailable(str(error).replace(str(partial), url)) from error

    log.info("Downloading the weights from %s (%g s to connect) ...", url, patience.connect)
    timeout = httpx.Timeout(patience.stall, connect=patience.connect)
    try:
        download(url, target, verify, label="Weights", limit=limit, timeout=timeout)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        reason = str(error) or type(error).__name__
        raise WeightsUnavailable(
            f"The weights can't be downloaded from {url}: {reason}."
        ) from error
    return target


def _cache() -> str:
    return os.environ.get("XDG_CACHE_HOME") or "~/.cache"


def _hub_cache() -> Path:
    home = os.environ.get("HF_HOME") or f"{_cache()}/huggingface"
    old = os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.environ.get("HF_HUB_CACHE") or old).expanduser()
