"""Safe construction of Milvus' filter expressions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from bogv.errors import InvalidValue
from bogv.records import ID_BITS

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def string_literal(text: str) -> str:
    """A string literal of the filter language, with the escapes that Lite and server both support.

    They differ from JSON's: Milvus Lite doesn't support `\\u001f`. Other characters need no escape.
    """
    return f'"{text.translate(_ESCAPES)}"'


def key_filter(keys: Iterable[str]) -> str:
    """A filter for the rows with one of these keys."""
    return f"key in [{', '.join(map(string_literal, keys))}]"


def storable_ids(ids: Iterable[int]) -> list[int]:
    """The ids that Milvus can store: 1 to 2^63 - 1.

    Raises InvalidValue unless all are integers: pymilvus writes ids into a filter without quotes.
    """
    listed = list(ids)
    for each in listed:
        if type(each) is not int:
            raise InvalidValue(f"{str(each)[:40]!r} is not an id: ids are integers.")
    return [each for each in listed if 0 < each < 2**63]


def id_ranges(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Ranges [start, end) of ids that have about `size` of `count` images each: ids are hashes."""
    parts = count // size + 1
    return pairwise(2**ID_BITS * i // parts for i in range(parts + 1))
