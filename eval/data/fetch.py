"""Download, verify and unpack a dataset's files, atomically.

A file is downloaded under a hidden name and takes its own once its size and checksum are right; an
archive is unpacked into a hidden folder and moved from there. What is there already, whole, is not
fetched again.
"""

from __future__ import annotations

import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from bogv.files import download, file_digest
from eval.data import packages
from eval.data.catalogue import (
    DatasetError,
    File,
    Folder,
    Spec,
    Torchvision,
    catalogue_entry,
    root_of,
)
from eval.data.datasets import load
from eval.data.items import LayoutError

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


def fetch(spec: Spec | str, root: Path | None = None, *, progress: bool = True) -> Path | None:
    """Download the dataset's files, and return its folder (None: it needs none).

    root: as for `eval.data.datasets.load`. Raises DatasetError, which says where to get the files,
    under which terms, and where to put them, for a dataset that can't be downloaded.
    """
    spec = catalogue_entry(spec)
    folder = root_of(spec, root)
    if folder is None:
        return None
    try:
        if isinstance(spec.source, Torchvision):
            folder.mkdir(parents=True, exist_ok=True)
            for options in spec.source.splits:
                packages.torchvision_data(folder, spec.source.name, options, download=True)
        elif isinstance(spec.source, Folder):
            _fetch_files(spec, spec.source, folder, progress)
    except httpx.HTTPError as error:
        reason = str(error) or type(error).__name__
        raise DatasetError(
            spec.id, f"it can't be downloaded: {reason}. {_by_hand(spec)}"
        ) from error
    except (LayoutError, OSError) as error:
        raise DatasetError(spec.id, f"its files can't be fetched: {error}") from error
    return folder


def _fetch_files(spec: Spec, source: Folder, folder: Path, progress: bool) -> None:
    if _is_there(spec, folder):
        return
    if not source.files:
        raise DatasetError(spec.id, f"it can't be downloaded. {_by_hand(spec)} Put it in {folder}.")
    downloaded = []
    for file in source.files:
        path = folder / file.name
        if path.exists():
            _check(spec, file, path)
        elif file.url is None:
            raise DatasetError(
                spec.id, f"{file.name} can't be downloaded. {_by_hand(spec)} Put it in {folder}."
            )
        else:
            download(
                file.url, path, partial(_check, spec, file),
                label=file.name, size=file.size, progress=progress,
            )  # fmt: skip
            downloaded.append(path)
    archives = [file for file in source.files if file.name.endswith((*_TAR, ".zip"))]
    for file in archives:
        _unpack(spec, folder / file.name, folder / (file.into or ""))
    for file in archives:
        if folder / file.name in downloaded:  # archives put here by the user are kept
            (folder / file.name).unlink()


def _is_there(spec: Spec, folder: Path) -> bool:
    """Whether the folder has the expected number of images."""
    if spec.counts.images is None:
        return False
    try:
        load(spec, folder)
    except DatasetError:
        return False
    return True


def _by_hand(spec: Spec) -> str:
    where = f"{spec.source.where} " if isinstance(spec.source, Folder) else ""
    return f"{where}({spec.homepage or 'no homepage'}; licence: {spec.licence}; {spec.terms})"


def _check(spec: Spec, file: File, path: Path) -> None:
    for what, expected, measure in (
        ("size", file.size, lambda: path.stat().st_size),
        ("SHA-256", file.sha256, lambda: file_digest(path)),
        ("MD5", file.md5, lambda: file_digest(path, "md5")),
    ):
        if expected is not None and (there := measure()) != expected:
            raise DatasetError(
                spec.id,
                f"{file.name} is not the file that it should be: its {what} is {there}, not"
                f" {expected}.",
            )


# ------------------------------------------------------------------------------ unpack


def _unpack(spec: Spec, archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as hidden:
        try:
            (_unzip if archive.name.endswith(".zip") else _untar)(archive, Path(hidden))
        except _Refused as error:
            raise DatasetError(spec.id, f"{archive.name} is rejected: {error}.") from error
        except _DAMAGED as error:
            raise DatasetError(spec.id, f"{archive.name} is damaged: {error}.") from error
        _merge(Path(hidden), target)


class _Refused(Exception):
    """An archive has members that no archive of images needs."""


def _untar(archive: Path, target: Path) -> None:
    # The same on every Python: only files and folders, only below the target. Where Python has a
    # filter of its own, that looks too, and takes setuid bits and owners away.
    options: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        tar.extractall(target, members=_harmless(tar), **options)  # noqa: S202 - all are checked


def _harmless(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        _check_name(member.name)
        if not (member.isreg() or member.isdir()):
            raise _Refused(f"{member.name!r} is a link or a device")
        member.mode = 0o755 if member.isdir() else 0o644
        yield member


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.infolist():
            _check_name(member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _Refused(f"{member.filename!r} is a link or a device")
        zipped.extractall(target)  # noqa: S202 - all are checked


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    # The last two only lead elsewhere on Windows.
    if path.is_absolute() or ".." in path.parts or "\\" in name or name[1:2] == ":":
        raise _Refused(f"{name!r} leads out of the folder")


def _merge(source: Path, target: Path) -> None:
    """Move everything: two archives may have the same folders."""
    for path in sorted(source.iterdir()):
        goal = target / path.name
        if path.is_dir() and goal.is_dir():
            _merge(path, goal)
        else:
            path.replace(goal)
