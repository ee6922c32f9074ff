"""Reading files by paths from clients: which paths are allowed, and no links followed at open."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from bogv.errors import FileMissing, PathNotAllowed, StorageUnavailable, reason
from bogv.sources.limits import check_size


def _open_nonblocking(path: str, flags: int) -> int:
    """Without O_NONBLOCK, opening a named pipe would block. `read_file` checks the open file's
    type, which leaves no race."""
    return os.open(path, flags | os.O_NONBLOCK)


def open_without_links(path: str, flags: int) -> int:
    """Open a resolved path and refuse symbolic links; an opener for `read_file`.

    A link in a resolved path was created after the check and may lead anywhere. Each folder is
    opened relative to its parent's descriptor, so none can be replaced by a link meanwhile.
    """
    *folders, name = Path(path).parts
    flags_of_folders = os.O_DIRECTORY | os.O_NOFOLLOW | getattr(os, "O_PATH", os.O_RDONLY)  # Linux
    parent = os.open(folders[0], flags_of_folders)
    try:
        for folder in folders[1:]:
            child = os.open(folder, flags_of_folders, dir_fd=parent)
            os.close(parent)
            parent = child
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=parent)
    finally:
        os.close(parent)


def read_file(
    path: Path, max_bytes: int, opener: Callable[[str, int], int] = _open_nonblocking
) -> bytes:
    """The bytes of a regular file, without a check of the roots. No error contains the path.

    Raises FileMissing, PathNotAllowed (a folder, a device, a pipe), TooLarge, StorageUnavailable.
    """
    try:
        file = open(path, "rb", opener=opener)  # noqa: SIM115 - needs an opener
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileMissing("There is no such file.") from error
    except IsADirectoryError as error:
        raise PathNotAllowed("This is a folder, not a regular file.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise FileMissing("There is no such file: the name is too long.") from error
        if getattr(error, "errno", None) == errno.ELOOP:
            raise PathNotAllowed("This is a symbolic link, not a regular file.") from error
        raise StorageUnavailable(f"The file can't be read: {reason(error)}.") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PathNotAllowed("This is not a regular file.")
        try:
            return check_size(file.read(max_bytes + 1), max_bytes)
        except OSError as error:
            raise StorageUnavailable(f"The file can't be read: {reason(error)}.") from error


class AllowedPaths:
    """The paths below `roots`, except private ones and paths below them."""

    def __init__(self, roots: Iterable[Path], private: Iterable[Path]) -> None:
        self._roots = [root.resolve() for root in roots]
        self._private = list(private)

    def resolve(self, path: str | Path) -> Path:
        """The path with its links resolved. Raises PathNotAllowed.

        A path outside the roots gives the same error whether or not it exists.
        """
        try:
            resolved = Path(path).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a NUL, a loop of links
            raise PathNotAllowed("The path can't be resolved.") from error
        if not Path(path).is_absolute():
            raise PathNotAllowed("The path must be absolute.")
        if not any(resolved.is_relative_to(root) for root in self._roots):
            raise PathNotAllowed(
                "The path is outside the folders that may be read (BOGV_IMAGE_ROOTS)."
            )
        if self.is_private(resolved):
            raise PathNotAllowed("The path belongs to bogv's own files, which can't be read.")
        return resolved

    def is_private(self, path: Path) -> bool:
        """Whether a path is private, or below a private one.

        Files are compared by device and inode, not by name: a file system may ignore case, and one
        folder may be mounted at several paths.
        """
        private = set(map(_inode, self._private)) - {None}
        return any(_inode(each) in private for each in (path, *path.parents))


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
