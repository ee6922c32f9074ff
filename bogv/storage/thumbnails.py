"""Thumbnails by id, in a folder or wherever fsspec reaches (`s3://…`, for several servers)."""

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
from bogv.redaction import redacted
from bogv.storage.intent_log import Left, Pending

log = logging.getLogger(__name__)


class Thumbnails:
    """WebP files named `<id>.webp`. Raises StorageUnavailable where they can't be kept.

    notes: a folder for what is noted through a crash; None: nothing is.
    """

    def __init__(self, url: str, notes: Path | None = None) -> None:
        try:
            self._fs, self._root = fsspec.url_to_fs(url)
            self._fs.makedirs(self._root, exist_ok=True)
        except (OSError, ImportError, ValueError) as error:  # an unknown or uninstalled scheme
            raise StorageUnavailable(
                redacted(f"Thumbnails can't be kept in {url}: {error}.")
            ) from error
        self._local = isinstance(self._fs, LocalFileSystem)
        self._pending = Pending(notes) if notes is not None else None
        self._owner = self._pending.owner if self._pending else uuid4().hex

    def write(self, image_id: int, data: bytes) -> None:
        """Keep a thumbnail, whole or not at all; one that is there is replaced."""
        try:
            if self._local:
                self._write_file(image_id, data)
            else:  # object stores show nothing of what they don't have whole
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

    def check_folder(self) -> None:
        """Raises StorageUnavailable where there is no folder any more, if it is one of files."""
        if self._local and not Path(self._root).is_dir():
            raise StorageUnavailable("The folder of thumbnails is gone: no image can be added.")

    @contextmanager
    def exclusively(self, patience: float) -> Iterator[None]:
        """One such block at a time, of all processes that keep thumbnails in this folder.

        The lock is flock(2)'s: the kernel lets go of it when its process ends, however it does.
        Object stores have none: there the block runs beside others. Raises StorageUnavailable
        after `patience` seconds.
        """
        with ExitStack() as held:
            if self._local:
                try:
                    held.enter_context(_locked(Path(self._root, "deletes.lock"), patience))
                except OSError as error:
                    log.warning("Deletes of several servers are not told apart: %s", error)
            yield

    def remove(self, ids: Iterable[int]) -> None:
        """Remove thumbnails; those that aren't there don't matter."""
        for image_id in ids:
            self._remove(self._path(image_id))

    def close(self) -> None:
        """Let go of the notes."""
        if self._pending is not None:
            self._pending.close()

    # What a crash leaves behind

    def noted(self, ids: Sequence[int]) -> AbstractContextManager[None]:
        """Around all writes that make or remove these images, their rows too.

        If the process is killed in the block, or the block raises, `left` tells of them.
        """
        return self._pending.noted(ids) if self._pending is not None else nullcontext()

    def left(self) -> Iterator[Left]:
        """What processes that have ended had noted and not struck out."""
        return self._pending.left() if self._pending is not None else iter(())

    def remove_older(self, ids: Sequence[int], min_age: float) -> int:
        """Remove thumbnails that are at least `min_age` seconds old; how many are not."""
        young = 0
        for image_id in ids:
            if self._age(image_id) < min_age:
                young += 1
            else:
                self._remove(self._path(image_id))
        return young

    def remove_parts(self, left: Left) -> None:
        """Remove what its writer was killed over."""
        if self._local:
            for image_id in left.ids:
                self._remove(self._part(image_id, left.owner))

    def _age(self, image_id: int) -> float:
        """Seconds since it was written; without end if it isn't there."""
        try:
            written: datetime = self._fs.modified(self._path(image_id))
        except FileNotFoundError:
            return float("inf")
        except OSError as error:
            raise StorageUnavailable(f"A thumbnail can't be looked at: {reason(error)}.") from error
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
def _locked(path: Path, patience: float) -> Iterator[None]:
    end = time.monotonic() + patience
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StorageUnavailable("Others are deleting images; try again.") from None
            time.sleep(0.02)
        yield
