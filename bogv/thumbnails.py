"""Thumbnails by id, in a folder or wherever fsspec reaches (`s3://…`, for several servers)."""

from __future__ import annotations

from collections.abc import Iterable

import fsspec

from bogv.errors import StorageUnavailable


class Thumbnails:
    """WebP files named `<id>.webp`. Raises StorageUnavailable where they can't be kept."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, self._root = fsspec.url_to_fs(url)
            self._fs.makedirs(self._root, exist_ok=True)
        except (OSError, ImportError, ValueError) as error:  # an unknown or uninstalled scheme
            raise StorageUnavailable(f"Thumbnails can't be kept in {url}: {error}.") from error

    def write(self, image_id: int, data: bytes) -> None:
        """Keep a thumbnail; one that is there is replaced."""
        try:
            self._fs.pipe_file(self._path(image_id), data)
        except OSError as error:
            raise StorageUnavailable(f"The thumbnail can't be written: {error}.") from error

    def read(self, image_id: int) -> bytes | None:
        """The thumbnail, or None if there is none."""
        try:
            return bytes(self._fs.cat_file(self._path(image_id)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageUnavailable(f"The thumbnail can't be read: {error}.") from error

    def remove(self, ids: Iterable[int]) -> None:
        """Remove thumbnails; those that aren't there don't matter."""
        for image_id in ids:
            try:
                self._fs.rm_file(self._path(image_id))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StorageUnavailable(f"A thumbnail can't be removed: {error}.") from error

    def _path(self, image_id: int) -> str:
        return f"{self._root}/{image_id}.webp"
