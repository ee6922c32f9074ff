"""Names of files and classes: those that can't be written down, and classes that look alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence

from eval.data.catalogue import DatasetError
from eval.data.items import Item


def printable(text: str) -> str:
    """The text with what is not UTF-8 (of a file name) as escapes, so that any file can hold it.

    >>> printable("caf\\udce9.jpg")
    'caf\\\\udce9.jpg'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def check_names(dataset: str, items: Sequence[Item]) -> None:
    """Raise DatasetError for a name that is not UTF-8, and for classes that differ by spaces only.

    Two classes whose names look the same are one class with a typing error: counted as two, they
    would lower every figure.
    """
    labels = {item.label for item in items if item.label is not None}
    for name in (*(item.id for item in items), *labels):
        if name != printable(name):
            raise DatasetError(dataset, f"the name '{printable(name)}' is not UTF-8: rename it.")
    if alike := _groups(labels, _without_spaces):
        raise DatasetError(
            dataset,
            f"there are classes whose names look the same: {_listed(alike)}. They differ by spaces"
            " or by Unicode's normalisation only: give them one name.",
        )


def label_note(items: Sequence[Item]) -> str | None:
    """A warning about classes that differ by case or compatible characters only; None if none do.

    That may be on purpose: letters are classes of their own in sets of handwriting.
    """
    alike = _groups({item.label for item in items if item.label is not None}, _without_case)
    if not alike:
        return None
    return (
        f"CLASSES: some names differ by upper and lower case, or by the width of characters, only:"
        f" {_listed(alike)}. They count as different classes."
    )


def _without_spaces(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).split())


def _without_case(label: str) -> str:
    return unicodedata.normalize("NFKC", _without_spaces(label)).casefold()


def _groups(labels: Iterable[str], key: Callable[[str], str]) -> list[list[str]]:
    """The labels of equal key, where there are several."""
    groups: dict[str, list[str]] = {}
    for label in sorted(labels):
        groups.setdefault(key(label), []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def _listed(groups: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(" and ".join(map(ascii, group)) for group in groups[:3])
    return shown + ("; …" if len(groups) > 3 else "")
