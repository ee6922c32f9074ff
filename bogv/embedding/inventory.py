"""What `python -m bogv weights` tells: which files of weights are there, and what to copy where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bogv.embedding.fingerprints import fingerprints_of_file
from bogv.embedding.weight_files import (
    COMMAND,
    HUB_NAME,
    URL,
    expected_digest,
    hub_url,
    local_files,
    name_of,
    torch_folder,
)
from bogv.embedding.weights import find_trained
from bogv.errors import WeightsUnavailable

_URL_DIGEST = expected_digest(Path(name_of(URL)), URL)


@dataclass(frozen=True)
class WeightFile:
    """A file of weights on this machine."""

    path: Path
    fingerprint: str | None
    """Of its numbers; None: it can't be used."""
    verified: bool
    """Whether its numbers are known to be torchvision's."""
    detail: str
    """What has been verified, or what is wrong with it."""

    @property
    def lines(self) -> list[str]:
        """For people."""
        usable = f"fingerprint {self.fingerprint}: " if self.fingerprint else "unusable: "
        return [str(self.path), f"    {usable}{self.detail}"]


@dataclass(frozen=True)
class Inventory:
    """The weights on this machine, after a download, if there was one."""

    files: list[WeightFile]
    problems: list[str]
    """Of the download."""
    models: Path
    """Bogv's folder of models."""

    @property
    def used(self) -> WeightFile | None:
        """The file that a new gallery gets."""
        return next((file for file in self.files if file.fingerprint), None)

    @property
    def lines(self) -> list[str]:
        """For people."""
        lines = [line for file in self.files for line in file.lines] + self.problems
        if self.used is None:
            return [*lines, "There are no trained weights here.", *_instructions(self.models)]
        return [*lines, f"Used: {self.used.path}"]

    @property
    def values(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "used": str(self.used.path) if self.used else None,
            "fingerprint": self.used.fingerprint if self.used else None,
            "files": [{**asdict(file), "path": str(file.path)} for file in self.files],
            "problems": self.problems,
            "downloads": [
                {"url": URL, "name": name_of(URL), "sha256": f"{_URL_DIGEST}..."},
                {"url": hub_url(), "name": HUB_NAME, "sha256": None},
            ],
            "folders": [str(folder) for folder in _folders(self.models)],
        }


def take_inventory(choice: str, models: Path, fetch: bool, url: str = URL) -> Inventory:
    """Look for the weights, and download them if there are none.

    choice: BOGV_WEIGHTS; if it is a file, only that one counts, and nothing is downloaded. models:
    bogv's folder of models.
    """
    if choice not in {"auto", "imagenet", "untrained"}:
        return Inventory([_inspect(Path(choice), models, "")], [], models)
    problems: list[str] = []
    files = _list_files(url, models)
    if fetch and not any(file.fingerprint for file in files):
        next(find_trained(url, models, problems, COMMAND), None)
        files = _list_files(url, models)
    told = {file.detail for file in files}
    return Inventory(files, [each for each in problems if each not in told], models)


def _list_files(url: str, models: Path) -> list[WeightFile]:
    paths = local_files(url, models)
    files = [_inspect(path, models, expected_digest(path, url)) for path in paths]
    return [_compare(file, files) for file in files]


def _inspect(path: Path, models: Path, expected: str) -> WeightFile:
    """expected: the first digits of its SHA-256; empty: not known."""
    try:
        fingerprint = fingerprints_of_file(path, models, expected)[0]
    except WeightsUnavailable as error:
        return WeightFile(path, None, False, str(error))
    if expected:
        detail = f"verified, its SHA-256 begins with {expected}"
        return WeightFile(path, fingerprint, True, detail)
    detail = "a whole ResNet50 of finite numbers; its checksum is not known"
    return WeightFile(path, fingerprint, False, detail)


def _compare(file: WeightFile, files: Sequence[WeightFile]) -> WeightFile:
    """With what torchvision's file, if it is there, says about the numbers of another one."""
    known = next((each for each in files if each.verified), None)
    if known is None or file.fingerprint is None or file.verified:
        return file
    if file.fingerprint == known.fingerprint:
        detail = f"verified, the same numbers as {known.path.name}"
        return replace(file, verified=True, detail=detail)
    return replace(file, detail=f"NOT the numbers of {known.path.name}: delete it")


def _folders(models: Path) -> tuple[Path, Path]:
    """Where files that are copied here are found."""
    return torch_folder(), models.resolve()


def _instructions(models: Path) -> list[str]:
    """For a machine without a network: what to download elsewhere, and where to copy it."""
    return [
        "On a machine with a network, download one of",
        f"    {URL}",
        f"        SHA-256 {_URL_DIGEST}...; keep its name, {name_of(URL)}",
        f"    {hub_url()}",
        f"        the same numbers as safetensors; save it as {HUB_NAME}",
        "and copy it into one of this machine's folders",
        *(f"    {folder}" for folder in _folders(models)),
        "or elsewhere, with its path as BOGV_WEIGHTS. Then run `python -m bogv weights` again.",
    ]
