"""Which images are being written or deleted just now, noted so that it outlives a crash."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Left:
    """What a process that was killed had noted."""

    owner: str
    """The name of that process' notes."""
    ids: list[int]
    path: Path


class Pending:
    """Ids, in a file of this process' own, from before their first write until after the last.

    So what a crash left half done is known without looking through everything. The file is locked
    for as long as the process lives; one without a lock belongs to nobody any more. Safe in
    threads. Notes that can't be written are left out, with a warning: a stray file at worst.
    """

    def __init__(self, folder: Path) -> None:
        self.owner = uuid4().hex
        self._folder = folder
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self._file: int | None = None

    @contextmanager
    def noted(self, ids: Sequence[int]) -> Iterator[None]:
        """Note the ids, and strike them out when the block ends without an error."""
        if not ids:
            yield
            return
        with self._lock:
            self._ids += ids
            self._write(ids)
        yield
        with self._lock:
            for each in ids:
                self._ids.remove(each)
            self._write(self._ids, anew=True)

    def left(self) -> Iterator[Left]:
        """The notes of processes that have ended; each is locked until the next is asked for."""
        for path in sorted(self._folder.glob("*.ids")):
            try:
                file = path.open("rb")
            except FileNotFoundError:  # done by another process
                continue
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:  # its process lives
                    continue
                # A crash may have cut the last id short; then it is nobody's.
                ids = [int(line) for line in file.read().split() if line.isdigit()]
                yield Left(path.stem, list(dict.fromkeys(ids)), path)

    def close(self) -> None:
        """Let go of the notes; the file goes too if it is empty."""
        with self._lock:
            if self._file is not None:
                if not self._ids:
                    self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    @property
    def _path(self) -> Path:
        return self._folder / f"{self.owner}.ids"

    def _write(self, ids: Sequence[int], anew: bool = False) -> None:
        try:
            if self._file is None:
                self._file = self._begin()
            if anew:
                os.ftruncate(self._file, 0)
            os.write(self._file, b"".join(b"%d\n" % each for each in ids))
        except OSError as error:
            log.warning("What is being written can't be noted in %s: %s", self._folder, error)

    def _begin(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        file = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            new.rename(self._path)  # locked before anyone can see it
        except OSError:
            os.close(file)
            raise
        return file
