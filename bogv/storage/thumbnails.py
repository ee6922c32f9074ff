"""Storage of thumbnails by id, in a folder or an object store supported by fsspec (`s3://…`).

They are made, and their size is set, in `bogv.imaging.decode`.
"""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from bogv.errors import StorageUnavailable, reason
from bogv.redaction import redact
from bogv.storage.intent_log import AbandonedLog, IntentLog

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.02


class Thumbnails:
    """WebP files named `<id>.webp`. Every method raises StorageUnavailable if the file system or
    object store fails.

    intents: the folder of the intent log; None: no log.
    """

    def __init__(self, url: str, intents: Path | None = None) -> None:
        try:
            self._fs, self._root = fsspec.url_to_fs(url)
            self._fs.makedirs(self._root, exist_ok=True)
        except (OSError, ImportError, ValueError) as error:  # an unknown or uninstalled scheme
            raise StorageUnavailable(
                redact(f"Thumbnails can't be stored in {url}: {error}.")
            ) from error
        self._local = isinstance(self._fs, LocalFileSystem)
        self._intents = IntentLog(intents) if intents is not None else None
        self._owner = self._intents.owner if self._intents else uuid4().hex

    def write(self, image_id: int, data: bytes) -> None:
        """Write a thumbnail atomically; replaces an existing one."""
        try:
            if self._local:
                self._write_file(image_id, data)
            else:  # object stores write atomically
                self._fs.pipe_file(self._path(image_id), data)
        except OSError as error:
            raise StorageUnavailable(f"The thumbnail can't be written: {reason(error)}.") from error

    def _write_file(self, image_id: int, data: bytes) -> None:
        part = Path(self._part(image_id, self._owner))
        try:
            part.write_bytes(data)
            part.replace(self._path(image_id))
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise

    def read(self, image_id: int) -> bytes | None:
        """The thumbnail, or None if there is none."""
        try:
            return bytes(self._fs.cat_file(self._path(image_id)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageUnavailable(f"The thumbnail can't be read: {reason(error)}.") from error

    def remove(self, ids: Iterable[int]) -> None:
        """Remove thumbnails; ids without one are ignored."""
        for image_id in ids:
            self._remove(self._path(image_id))

    def check_folder(self) -> None:
        """Raises StorageUnavailable if a local folder of thumbnails was deleted."""
        if self._local and not Path(self._root).is_dir():
            raise StorageUnavailable("The folder of thumbnails is missing: restore it.")

    @contextmanager
    def lock_deletes(self, timeout: float) -> Iterator[None]:
        """Hold the lock on deleting, which all processes with the same thumbnail folder share.

        It is a flock(2), which the kernel releases however a process ends. Object stores have no
        locks: there, the blocks of several processes may overlap. Raises StorageUnavailable after
        `timeout` seconds.
        """
        with ExitStack() as stack:
            if self._local:
                try:
                    stack.enter_context(_file_lock(Path(self._root, "deletes.lock"), timeout))
                except OSError as error:
                    log.warning("Can't lock deletes; servers may count one twice: %s", error)
            yield

    def close(self) -> None:
        """Close the intent log."""
        if self._intents is not None:
            self._intents.close()

    # Recovery after a crash

    def log_intent(self, ids: Sequence[int]) -> AbstractContextManager[None]:
        """Log ids during a block with all writes that add or delete these images, also their rows.

        If the process is killed in the block, or the block raises, `abandoned_logs` has the ids.
        """
        return self._intents.log_intent(ids) if self._intents is not None else nullcontext()

    def abandoned_logs(self) -> Iterator[AbandonedLog]:
        """The intent logs of processes that ended during their writes."""
        return self._intents.abandoned_logs() if self._intents is not None else iter(())

    def younger(self, ids: Sequence[int], age: float) -> set[int]:
        """Those of the ids whose thumbnails are less than `age` seconds old."""
        return {image_id for image_id in ids if self._age(image_id) < age}

    def remove_partial_files(self, abandoned: AbandonedLog) -> None:
        """Remove the incomplete files of a process that was killed."""
        if self._local:
            for image_id in abandoned.ids:
                self._remove(self._part(image_id, abandoned.owner))

    def _age(self, image_id: int) -> float:
        """Seconds since the thumbnail was written; infinite if there is none."""
        try:
            written: datetime = self._fs.modified(self._path(image_id))
        except FileNotFoundError:
            return float("inf")
        except OSError as error:
            raise StorageUnavailable(
                f"A thumbnail's age can't be read: {reason(error)}."
            ) from error
        if written.tzinfo is None:
            written = written.replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - written).total_seconds()

    def _remove(self, path: str) -> None:
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageUnavailable(f"A thumbnail can't be removed: {reason(error)}.") from error

    def _path(self, image_id: int) -> str:
        return f"{self._root}/{image_id}.webp"

    def _part(self, image_id: int, owner: str) -> str:
        return f"{self._root}/{image_id}.{owner}.part"


@contextmanager
def _file_lock(path: Path, timeout: float) -> Iterator[None]:
    end = time.monotonic() + timeout
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StorageUnavailable(
                        "Another server is deleting images; try again."
                    ) from None
            time.sleep(LOCK_POLL_SECONDS)
        yield
