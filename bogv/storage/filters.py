"""What goes into Milvus' filter expressions, made safe."""

from __future__ import annotations

from collections.abc import Iterable

from bogv.errors import InvalidValue

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


def string_literal(text: str) -> str:
    """A string literal of the filter language, with the escapes that Lite and server share.

    Not JSON's: Milvus Lite knows no `\\u001f`. All other characters stand for themselves.
    """
    return f'"{text.translate(_ESCAPES)}"'


def key_filter(keys: Iterable[str]) -> str:
    """The rows that have one of these keys."""
    return f"key in [{', '.join(map(string_literal, keys))}]"


def storable_ids(ids: Iterable[int]) -> list[int]:
    """Those that Milvus can hold: 1 to 2^63 - 1.

    Raises InvalidValue for what is no integer: pymilvus would write it into a filter unquoted.
    """
    listed = list(ids)
    for each in listed:
        if type(each) is not int:
            raise InvalidValue(f"{str(each)[:40]!r} is no id: ids are integers.")
    return [each for each in listed if 0 < each < 2**63]
