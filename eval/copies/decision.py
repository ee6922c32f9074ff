"""What the product says of a pair, and how sure each method is of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bogv.copies.geometry import PART
from bogv.copies.thresholds import THRESHOLDS
from bogv.records import MatchKind
from bogv.storage.copies import BITS
from eval.copies.evidence import Pair

KINDS: tuple[MatchKind, ...] = ("similar", "part", "copy", "exact")
"""From the weakest to the strongest."""

Confidence = Callable[[Pair], float | None]
"""Of a pair; None: the method doesn't name it."""


def kind_of(pair: Pair) -> MatchKind:
    """By the product's own rule."""
    if pair.exact:
        return "exact"
    return THRESHOLDS.kind_of(pair.distance, pair.agreement)


def strength(kind: MatchKind) -> int:
    """0 to 3: the place in KINDS."""
    return KINDS.index(kind)


def by_hash(pair: Pair) -> float | None:
    """256 less the bits that differ; equal files before all."""
    if pair.exact:
        return float(BITS + 1)
    return None if pair.distance is None else float(BITS - pair.distance)


def by_geometry(pair: Pair) -> float | None:
    """Inliers; without any, the pair isn't named."""
    return float(pair.agreement.inliers) or None


def by_network(pair: Pair) -> float | None:
    """The cosine, of the network's hits."""
    return pair.cosine if pair.hit else None


def by_all(pair: Pair) -> float | None:
    """Exact before copies (by bits), before parts (by inliers), before the others (by cosine).

    The kind's place in KINDS times 2, and a number from 0 to 1.
    """
    kind = kind_of(pair)
    within = {
        "exact": 0.0,
        "copy": 1 - (BITS if pair.distance is None else pair.distance) / BITS,
        "part": pair.agreement.inliers / (pair.agreement.inliers + PART),
        "similar": min(max(pair.cosine, 0.0), 1.0),
    }[kind]
    return 2 * strength(kind) + within


METHODS: Mapping[str, Confidence] = {
    "hash": by_hash,
    "geometry": by_geometry,
    "network": by_network,
    "all": by_all,
}
"""Names as in run.json."""
TITLES = {
    "hash": "exact + PDQ",
    "geometry": "geometry",
    "network": "network alone",
    "all": "all together",
}
