"""Embeddings on disk: one SQLite file for each way of making them, by the SHA-256 of the bytes.

SQLite writes a batch whole or not at all, so an interrupted run leaves nothing half, and the next
one goes on from there. Each row has a checksum. A row that doesn't match it counts as missing: what
it held can be computed again, so damage costs time and never changes a figure.
"""

from __future__ import annotations

import re
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bogv.embedding.weights import DIMENSION
from bogv.records import Vectors
from eval.errors import WorkbenchError


@dataclass(frozen=True)
class Embedding:
    """One image's embedding."""

    vector: Vectors
    """(dimension,) float32."""
    pixels: str
    """Hash of the network's input: equal for images that the network can't tell apart."""


class Cache:
    """Embeddings on disk, by the SHA-256 of the bytes. Raises WorkbenchError for a broken file."""

    def __init__(self, folder: Path, name: str, dimension: int = DIMENSION) -> None:
        """name: has to differ wherever the same bytes may have another embedding."""
        self._bytes = 4 * dimension
        self.path = folder / (re.sub(r"[^\w.-]+", "-", name) + ".sqlite")
        self.damaged = 0
        """How many rows were found damaged."""
        with self._translating_errors():
            folder.mkdir(parents=True, exist_ok=True)
            # A second run on the same file waits for its turn to write.
            self._database = sqlite3.connect(self.path, timeout=60)
        # Text that isn't UTF-8 is damage of one row, no reason to refuse the file.
        self._database.text_factory = partial(str, encoding="utf-8", errors="replace")
        try:
            with self._translating_errors(), self._database:
                self._database.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings"
                    " (sha256 TEXT PRIMARY KEY, vector BLOB, pixels TEXT, checksum INTEGER)"
                )
        except WorkbenchError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def get(self, digests: Sequence[str]) -> dict[str, Embedding]:
        """The cached embeddings by digest, without those that are missing or damaged."""
        marks = ",".join("?" * len(digests))
        query = f"SELECT * FROM embeddings WHERE sha256 IN ({marks})"  # noqa: S608
        with self._translating_errors():
            rows = self._database.execute(query, list(digests)).fetchall()
        sound = [row for row in rows if _is_sound(*row, length=self._bytes)]
        self.damaged += len(rows) - len(sound)
        return {
            digest: Embedding(np.frombuffer(vector, "<f4"), pixels)
            for digest, vector, pixels, _ in sound
        }

    def put(self, embeddings: Mapping[str, Embedding]) -> None:
        """Write a batch atomically."""
        rows = []
        for digest, each in embeddings.items():
            vector = each.vector.astype("<f4").tobytes()
            rows.append((digest, vector, each.pixels, _checksum(digest, vector, each.pixels)))
        with self._translating_errors(), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", rows
            )

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise WorkbenchError(
                f"The cache {str(self.path)!r} can't be used: {error}. Remove it, or name another"
                " folder with --cache."
            ) from error


def _checksum(digest: str, vector: bytes, pixels: str) -> int:
    return zlib.crc32(vector, zlib.crc32(f"{digest} {pixels}".encode()))


def _is_sound(digest: str, vector: Any, pixels: Any, checksum: Any, *, length: int) -> bool:
    """Whether a row is what `put` wrote. SQLite columns hold values of any type."""
    return (
        isinstance(vector, bytes)
        and isinstance(pixels, str)
        and len(vector) == length
        and checksum == _checksum(digest, vector, pixels)
    )
