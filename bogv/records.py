"""The data types that the modules share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b, md5
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bogv.errors import BogvError, InvalidValue

Pixels = NDArray[np.uint8]
Vectors = NDArray[np.float32]

MIN_QUALITY = 50
"""Of a PDQ hash; a picture below it is too plain to be told from others (the reference's limit)."""

Status = Literal["created", "unchanged", "updated", "skipped", "failed"]


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
    hashes: Pixels
    """(8, 32) uint8: 256 bits of PDQ in the Exif orientations 1 to 8; tells copies."""
    quality: int
    """Of the hashes, 0 to 100; below MIN_QUALITY, equal hashes say nothing."""
    reduced: Pixels | None = None
    """(height, width, 3) uint8 RGB, long side at most 384; None if it wasn't requested."""


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


MatchKind = Literal["exact", "copy", "part", "similar"]

ORIENTATION_NAMES = (
    "upright",
    "mirrored",
    "rotated 180",
    "mirrored, rotated 180",
    "mirrored, rotated 270",
    "rotated 90",
    "mirrored, rotated 90",
    "rotated 270",
)
"""Of the Exif orientations 1 to 8: left and right swapped, then turned clockwise by degrees."""


@dataclass(frozen=True)
class Match:
    """What relates a hit to the query."""

    kind: MatchKind = "similar"
    """`exact`: equal files. `copy`: the whole picture, edited. `part`: geometry proves that one
    shows a part of what the other shows. `similar`: ranked by the network, nothing proven."""
    distance: int | None = None
    """Bits that differ between the hashes, of 256; None: more than are searched for."""
    orientation: int | None = None
    """The Exif orientation, 1 to 8, in which the query looks like the hit; None: not known."""
    inliers: int | None = None
    """Points that agree; None: not verified."""

    @property
    def is_proven(self) -> bool:
        """Whether more than the network's ranking speaks for it."""
        return self.kind != "similar"

    @property
    def orientation_name(self) -> str | None:
        """What turns the query into the hit: one of ORIENTATION_NAMES."""
        return None if self.orientation is None else ORIENTATION_NAMES[self.orientation - 1]

    def as_dict(self) -> dict[str, str | int | None]:
        """The fields that JSON answers have of it."""
        return {
            "match": self.kind,
            "distance": self.distance,
            "inliers": self.inliers,
            "orientation": self.orientation_name,
        }


SIMILAR = Match()


@dataclass(frozen=True)
class Verdict:
    """Whether the gallery has the query's picture."""

    match: Literal["exact", "copy", "part", "none"]
    id: int | None
    """Of the hit that proves it."""
    false_positive_rate: float
    """Probability that a search of this gallery for a picture that isn't there says otherwise."""


@dataclass(frozen=True)
class Hit:
    """A record found by a search."""

    record: Record
    score: float
    """Cosine similarity, 0 to 1."""
    match: Match = SIMILAR
    rarity: float | None = None
    """Share of the gallery's pairs of images that are at least as alike, above 0; None: it isn't
    known."""

    @property
    def one_in(self) -> int | None:
        """The rarity as 1 in so many pairs, two digits of it."""
        return None if self.rarity is None else int(float(f"{1 / self.rarity:.2g}"))


@dataclass(frozen=True)
class HashMatch:
    """An image whose stored hash is near one of a query's."""

    id: int
    distance: int
    """Bits that differ, of 256."""
    orientation: int
    """The Exif orientation, 1 to 8, in which the query looks like the image."""
    quality: int
    """Of the stored hash, 0 to 100."""


@dataclass(frozen=True)
class CopyCandidate:
    """A record whose image may be a copy of a query."""

    record: Record
    match: HashMatch
    exact: bool
    """The files are equal."""


@dataclass(frozen=True)
class CopyProgress:
    """How many images of a gallery have a hash; those added by older versions get one later."""

    total: int
    missing: int
    unreadable: int
    """Of the missing ones: their thumbnails can't be read, so they get none."""

    @property
    def summary(self) -> str:
        """`complete`, or how many of how many."""
        if not self.missing:
            return "complete"
        known = f"{max(self.total - self.missing, 0):,} of {self.total:,}"
        return f"{known}, {self.unreadable:,} unreadable" if self.unreadable else known


@dataclass(frozen=True)
class NearDuplicate:
    """An image of the gallery that is the same picture as a new one."""

    id: int
    key: str
    match: Match
    """`exact` or `copy`."""

    def as_dict(self) -> dict[str, str | int | None]:
        """The fields that JSON answers have of it."""
        return {"id": self.id, "key": self.key, **self.match.as_dict()}


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
    """Exact ones first, then copies, parts, and the others; those of a kind by score."""
    seconds: dict[str, float]
    """By stage: decode, embed, search and, if it was asked for, verify."""
    copies: list[CopyCandidate] = field(default_factory=list)
    """Of the query, nearest first."""
    copies_complete: bool = True
    """False: some images have no hash yet, so there may be more copies."""
    verdict: Verdict | None = None
    """None: the query has no hash to look for."""

    def verdict_dict(self) -> dict[str, str | int | float | bool | None] | None:
        """The verdict as JSON answers have it."""
        if self.verdict is None:
            return None
        return {
            "match": self.verdict.match,
            "id": self.verdict.id,
            "false_positive_rate": round(self.verdict.false_positive_rate, 6),
            "complete": self.copies_complete,
        }


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
    near_duplicate_of: NearDuplicate | None = None
    """Of a new image: the nearest one that was there before, if there is one."""


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
    copies: CopyProgress
    rarity: str = ""
    """Which pairs were compared, one sentence; empty: none."""
    calibration: str = ""
    """From which values on pictures count as copies, and how often that is wrong."""


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
