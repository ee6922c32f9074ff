"""The data types that the modules share."""

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
    """(224, 224, 3) uint8 RGB: the network's input."""
    thumbnail: bytes | None
    """WebP, long side at most 384 pixels; None if it wasn't requested."""


@dataclass(frozen=True)
class Record:
    """An image's row in the gallery, without its embedding."""

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
    """A record found by a search."""

    record: Record
    score: float
    """Cosine similarity, 0 to 1."""


@dataclass(frozen=True)
class Neighbour:
    """An image of the gallery near a query, with its embedding instead of its record."""

    id: int
    score: float
    """Cosine similarity, 0 to 1."""
    vector: Vectors
    """(dimension,) float32, of length 1."""


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first, and the time they took."""

    hits: list[Hit]
    seconds: dict[str, float]
    """By stage: decode, embed, search."""


@dataclass(frozen=True)
class NewImage:
    """An image to be added. Its bytes are read lazily, so a long list takes little memory."""

    read: Callable[[], bytes]
    filepath: str = ""
    """Stored with the image; if the image is in the gallery already, it replaces the old path."""
    key: str | None = None
    """None: the MD5 of the bytes."""
    origin: str = ""
    """Where the image came from: stored as a new image's filepath if none is given, without the
    login of a URL. It never replaces a stored filepath."""


@dataclass(frozen=True)
class Added:
    """The result of adding an image."""

    status: Status
    filepath: str
    id: int | None = None
    key: str | None = None
    error: BogvError | None = None
    """Set if the status is `failed`."""


@dataclass(frozen=True)
class Cursor:
    """A position in the listing (newest first): the last record of a page."""

    added_at: int
    id: int


@dataclass(frozen=True)
class Page:
    """Records, newest first."""

    records: list[Record]
    next: Cursor | None
    """The cursor for the next page; None on the last page."""


@dataclass(frozen=True)
class Stats:
    """The state of a gallery, for users and monitoring."""

    count: int
    database: str
    collection: str
    weights: str
    """`imagenet1k-v1`, `custom` or `untrained`."""
    fingerprint: str
    engine: str
    query_expansion: int
    """Neighbours that a query is expanded with; 0: none."""
    version: str


ID_BITS = 53  # JavaScript represents integers up to 2^53 exactly


def md5_of(data: bytes) -> str:
    """The MD5 as 32 hex digits: the default key of an image."""
    return md5(data, usedforsecurity=False).hexdigest()


def image_id(key: str, md5: str) -> int:
    """The id of these bytes under this key: 1 to 2^53 - 1, the same on every server.

    The first 53 bits of BLAKE2b over both, so two servers that add the same image at the same time
    write the same row. The probability of a collision among a million images is 6e-5; the service
    then takes the next id.
    """
    digest = blake2b(f"{md5}{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> (64 - ID_BITS)) or 1


def check_length(name: str, text: str, limit: int) -> None:
    """Raises InvalidValue for a text longer than `limit` bytes of UTF-8, or not encodable."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidValue(f"The {name} is not valid Unicode: it has a lone surrogate.") from error
    if length > limit:
        raise InvalidValue(f"The {name} has {length} bytes of UTF-8; the limit is {limit}.")
