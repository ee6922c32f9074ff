"""A write-ahead intent log: the ids that a process is writing or deleting, for crash recovery."""

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
class AbandonedLog:
    """The log of a process that has ended; the images with its ids may be incomplete."""

    owner: str
    """The `IntentLog.owner` of that process."""
    ids: list[int]
    path: Path


class IntentLog:
    """A file with the ids of the operations that this process is running.

    An id is in it from before the first write of its operation until after the last, so recovery
    after a crash needn't scan the whole gallery. The process holds a lock on the file while it
    runs: a log without a lock is abandoned. Thread-safe. If the log can't be written, a warning is
    logged and the operation continues: at worst, a crash leaves an orphaned thumbnail for good.
    """

    def __init__(self, folder: Path) -> None:
        self.owner = uuid4().hex
        """A unique name of this process."""
        self._folder = folder
        self._lock = threading.Lock()
        self._ids: list[int] = []
        self._file: int | None = None

    @contextmanager
    def log_intent(self, ids: Sequence[int]) -> Iterator[None]:
        """Log the ids before the block, and remove them after it unless it raises."""
        if not ids:
            yield
            return
        with self._lock:
            self._ids += ids
            self._append(ids)
        yield
        with self._lock:
            for each in ids:
                self._ids.remove(each)
            self._append(self._ids, truncate=True)

    def abandoned_logs(self) -> Iterator[AbandonedLog]:
        """The logs of processes that have ended; each is locked until the iterator advances."""
        for path in sorted(self._folder.glob("*.ids")):
            try:
                file = path.open("rb")
            except FileNotFoundError:  # another process has recovered it
                continue
            with file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:  # its process is running
                    continue
                # The last id may be truncated: then no image has that id.
                ids = [int(line) for line in file.read().split() if line.isdigit()]
                yield AbandonedLog(path.stem, list(dict.fromkeys(ids)), path)

    def close(self) -> None:
        """Close the file, and remove it if it is empty."""
        with self._lock:
            if self._file is not None:
                if not self._ids:
                    self._path.unlink(missing_ok=True)
                os.close(self._file)
                self._file = None

    @property
    def _path(self) -> Path:
        return self._folder / f"{self.owner}.ids"

    def _append(self, ids: Sequence[int], truncate: bool = False) -> None:
        try:
            if self._file is None:
                self._file = self._create()
            if truncate:
                os.ftruncate(self._file, 0)
            os.write(self._file, b"".join(b"%d\n" % each for each in ids))
        except OSError as error:
            log.warning("The intent log in %s can't be written: %s", self._folder, error)

    def _create(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        file = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            new.rename(self._path)  # locked before another process can open it
        except OSError:
            os.close(file)
            raise
        return file
