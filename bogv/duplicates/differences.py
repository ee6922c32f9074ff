"""What a person has said to be different pictures: remembered in a file, across scans."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from bogv.errors import StorageUnavailable, reason
from bogv.files import atomic_write

NEVER: frozenset[int] = frozenset()


class Differences:
    """Sets of images no two of which are duplicates, whatever a scan finds. Thread-safe.

    The file is a JSON list of lists of ids.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def add(self, ids: Sequence[int]) -> None:
        """Remember that each two of these images are different. Raises StorageUnavailable."""
        with self._lock:
            sets = self._read()
            if sorted(ids) in sets or len(ids) < 2:
                return
            try:
                with atomic_write(self._path) as partial:
                    partial.write_text(json.dumps([*sets, sorted(ids)]), "utf-8")
            except OSError as error:
                raise StorageUnavailable(
                    f"What is different can't be remembered: {reason(error)}."
                ) from error

    def sets_of_each(self) -> dict[int, frozenset[int]]:
        """By id, the numbers of the sets that an image is in: images with a common one differ.

        Raises StorageUnavailable.
        """
        with self._lock:
            sets = self._read()
        found: dict[int, set[int]] = {}
        for number, ids in enumerate(sets):
            for image_id in ids:
                found.setdefault(image_id, set()).add(number)
        return {image_id: frozenset(numbers) for image_id, numbers in found.items()}

    def _read(self) -> list[list[int]]:
        try:
            sets = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageUnavailable(
                f"What is different can't be read: {reason(error)}."
            ) from error
        except ValueError as error:
            raise StorageUnavailable(_damaged(self._path)) from error
        if not isinstance(sets, list) or not all(map(_is_set, sets)):
            raise StorageUnavailable(_damaged(self._path))
        return sets


def _is_set(ids: object) -> bool:
    return isinstance(ids, list) and all(type(each) is int for each in ids)


def _damaged(path: Path) -> str:
    return f"The file {path.name} is damaged: restore it, or remove it to start anew."
