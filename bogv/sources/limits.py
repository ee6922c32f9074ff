"""The limit on an image's bytes."""

from __future__ import annotations

from typing import TypeVar

from bogv.errors import TooLarge

_Bytes = TypeVar("_Bytes", bytes, bytearray)


def check_size(data: _Bytes, max_bytes: int) -> _Bytes:
    """The same bytes. Raises TooLarge."""
    if len(data) > max_bytes:
        raise TooLarge(f"The image is larger than the limit of {max_bytes:,} bytes.")
    return data
