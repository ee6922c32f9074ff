"""The nouns that the modules pass to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b, md5
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bogv.errors import BogvError, InvalidValue

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]

Status = Literal["created", "unchanged", "updated", "failed"]


@dataclass(frozen=True)
class Picture:
    """A decoded image, ready to be embedded."""

    width: int
    """Pixels, orientation applied."""
    height: int
    size: int
    """Bytes of the file."""
    pixels: Pixels
    """(224, 224, 3) uint8 RGB: what the network sees."""
    thumbnail: bytes | None
    """WebP, long side at most 384 pixels; None where it was not asked for."""


@dataclass(frozen=True)
class Record:
    """What the gallery holds of an image, but for its embedding."""

    id: int
    key: str
    filepath: str
    md5: str
    width: int
    height: int
    size: int
    added_at: int
    """Milliseconds since 1970."""


@dataclass(frozen=True)
class Hit:
    """A record that a search found."""

    record: Record
    score: float
    """Cosine similarity, 0 to 1."""


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first, and what they cost."""

    hits: list[Hit]
    seconds: dict[str, float]
    """By stage: decode, embed, search."""


@dataclass(frozen=True)
class NewImage:
    """An image to be added. `read` is called when its turn comes: a long list stays small."""

    read: Callable[[], bytes]
    filepath: str = ""
    """What the caller wants back. Where the image is in already, the new one replaces the old."""
    key: str | None = None
    """None: the MD5 of the bytes."""
    origin: str = ""
    """Where the image came from: stands for the filepath if none is given, and replaces none."""


@dataclass(frozen=True)
class Added:
    """What became of an image that was to be added."""

    status: Status
    filepath: str
    id: int | None = None
    key: str | None = None
    error: BogvError | None = None
    """Why it failed."""


@dataclass(frozen=True)
class Cursor:
    """A place in the gallery, newest first: everything before the record that it names."""

    added_at: int
    id: int


@dataclass(frozen=True)
class Page:
    """Records, newest first."""

    records: list[Record]
    next: Cursor | None
    """Where the next page begins; None on the last."""


@dataclass(frozen=True)
class Stats:
    """The state of a gallery, for people and for monitoring."""

    count: int
    database: str
    collection: str
    weights: str
    """`imagenet1k-v1`, `custom` or `untrained`."""
    fingerprint: str
    engine: str
    version: str


ID_BITS = 53  # a JSON parser in a browser keeps integers below 2^53 exact


def md5_of(data: bytes) -> str:
    """The key of an image that came without one: 32 hex digits."""
    return md5(data, usedforsecurity=False).hexdigest()


def image_id(key: str, md5: str) -> int:
    """The id of these bytes under this key: 1 to 2^53 - 1, the same on every server.

    The first 53 bits of BLAKE2b over both, so that two servers that add the same image at the
    same time write the same row. Among a million images two share an id with probability 6e-5;
    the service then takes the next one.
    """
    digest = blake2b(f"{md5}{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - ID_BITS)) or 1


def check_length(name: str, text: str, limit: int) -> None:
    """Raises InvalidValue for a text of more than `limit` bytes of UTF-8, or that has none."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidValue(f"The {name} holds half a character (a lone surrogate).") from error
    if length > limit:
        raise InvalidValue(f"The {name} has {length} bytes of UTF-8; the limit is {limit}.")
