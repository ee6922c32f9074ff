"""Fingerprints of weights, and the record of the numbers in files that have been read.

Reading torch's files takes an import of torch, which takes seconds: the record spares the next
start both.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

from bogv.embedding.state_dict import digest_numbers, read_state_dict
from bogv.errors import WeightsUnavailable
from bogv.files import atomic_write, file_digest

log = logging.getLogger(__name__)

DIMENSION = 2048
RECORD = "weights.json"


def fingerprint_of(weights: str) -> str:
    """12 hex digits: a hash of everything that determines the embeddings."""
    parts = {
        "weights": weights,
        "architecture": "resnet50",
        "layer": "avgpool",
        "transform": "resize256-bilinear-crop224",
        "dimension": DIMENSION,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def fingerprints_of_file(path: Path, folder: Path | None, expected: str = "") -> tuple[str, ...]:
    """The fingerprints by which galleries know the file's weights.

    The first is that of the numbers, whatever file they come from. The others are of the files with
    these numbers: galleries have been named by them, and keep their names. folder: of the record;
    None: there is none. expected: the first digits of the file's SHA-256. Raises
    WeightsUnavailable.
    """
    digest, record = check_digest(path, expected), _read(folder)
    if digest not in record:
        record[digest] = digest_numbers(read_state_dict(path))
        _write(folder, record)
    numbers = record[digest]
    files = sorted(file for file, its in record.items() if its == numbers)
    return (fingerprint_of(f"numbers-{numbers}"), *map(fingerprint_of, files))


def digest_of(path: Path) -> str:
    """The file's SHA-256. Raises WeightsUnavailable."""
    try:
        return file_digest(path)
    except OSError as error:
        raise WeightsUnavailable(f"The weights {str(path)!r} can't be read: {error}.") from error


def check_digest(path: Path, expected: str) -> str:
    """The file's SHA-256. expected: its first digits. Raises WeightsUnavailable."""
    digest = digest_of(path)
    if not digest.startswith(expected):
        raise WeightsUnavailable(
            f"The weights {str(path)!r} are damaged: their SHA-256 begins with {digest[:8]}, not"
            f" with {expected}."
        )
    return digest


def _read(folder: Path | None) -> dict[str, str]:
    """The SHA-256 of files' numbers by the SHA-256 of the files."""
    if folder is None:
        return {}
    path = folder / RECORD
    try:
        record = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("The record %s can't be read; it is made again: %s", path, error)
        return {}
    valid = isinstance(record, dict) and all(isinstance(each, str) for each in record.values())
    return record if valid else {}


def _write(folder: Path | None, record: dict[str, str]) -> None:
    if folder is None:
        return
    try:
        with atomic_write(folder / RECORD) as partial:
            partial.write_text(json.dumps(record, indent=2, sort_keys=True), "utf-8")
    except OSError as error:
        log.warning("The next start reads the weights again, since it can't be noted: %s", error)
