"""Geometric verification: whether two pictures show the same thing, and where.

SIFT features of both pictures (Lowe, Distinctive Image Features from Scale-Invariant Keypoints,
2004), compared as root-SIFT (Arandjelović and Zisserman, Three things everyone should know to
improve object retrieval, 2012), are matched, and the similarity transform on which most matches
agree is sought. As in Philbin et al., Object retrieval with large vocabularies and fast spatial
matching, 2007, the hypotheses come from the matches in a fixed order, so nothing is random; as in
Jégou et al., Hamming embedding and weak geometric consistency, 2008, the scale and orientation of
the features themselves must agree with the transform, too.

Points are complex numbers in here, in pixels: a similarity transform is then
`factor * point + offset`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bogv.records import Pixels

PART = 30
"""Inliers from which on one picture shows a part of the other, or the same thing in another shot.

Measured by `python -m eval copies` on the clothing dataset and on Grocery Store, with untrained
weights: of searches for what isn't there, 0.1% and 4.7% had such a hit among their first 12 (not
counting images with the query's label); with 10 inliers, 2.1% and 22.5%. Of edited images whose
original was among them, 85% and 90% agreed with it; with 10 inliers, 88% and 92%. What agrees by
mistake shares what lies behind the things, or a brand's package: that two pictures agree doesn't
mean that they show the same product."""
SIDE = 384
"""The longer side at which pictures are compared, in pixels: that of a thumbnail. Smaller pictures
are enlarged."""
MIN_SHORT_SIDE = 16
"""Pixels; a strip thinner than this has no features."""
MAX_FEATURES = 1000
CONTRAST = 0.02
"""Half of Lowe's threshold: soft pictures, and small parts of pictures, have features too."""
RATIO = 0.8
"""Of the distances to the nearest and the second-nearest descriptor (Lowe, section 7.1)."""
TOLERANCE = 4.0
"""Pixels between a point and where the transform puts it."""
MAX_SCALE = 8.0
"""Of one picture's content in the other, either way."""
SCALE_AGREES = 1.6
"""Ratio of the scale between two matched features and that of the transform, either way."""
ANGLE_AGREES = math.cos(math.radians(30))
MIN_INLIERS = 4
"""Two points define a transform, so few agree on one by chance."""
MIN_SPREAD = 4.0
"""Pixels: the standard deviation of the agreeing points across their main direction. What lies on a
line, such as one of text, fixes no transform."""
CELL = 6.0
"""Pixels; points in one cell of this grid count once."""

_PAIRED = 128  # matches, the best, whose pairs give the hypotheses
_HYPOTHESES = 256
_REFINEMENTS = 4

Points = NDArray[np.complex128]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """A picture's SIFT features, scaled to a longer side of SIDE pixels; n at most MAX_FEATURES."""

    width: int
    """Pixels, after scaling."""
    height: int
    points: Points
    """(n,), in pixels: x + iy from the left upper corner."""
    frames: Points
    """(n,): diameter in pixels times e^(i orientation)."""
    descriptors: NDArray[np.uint8]
    """(n, 128): SIFT as integers, 4 rows by 4 columns by 8 directions."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """What of a query and a hit agrees. Coordinates are fractions of width and height, 0 to 1."""

    inliers: int = 0
    """Matches that agree on the transform, each at a place of its own in both pictures."""
    mirrored: bool = False
    """The hit shows the query with left and right swapped."""
    scale: float = 1.0
    """Size of the query's content in the hit, both pictures with a longer side of 1."""
    rotation: float = 0.0
    """Degrees by which the query, mirrored or not, is turned clockwise in the hit: -180 to 180."""
    transform: NDArray[np.float64] | None = None
    """(2, 3): (x, y, 1) in the query -> (x, y) in the hit; None without inliers."""
    query_points: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    """(inliers, 2): x and y in the query, in the order of `hit_points`."""
    hit_points: Floats = field(default_factory=lambda: np.empty((0, 2), np.float32))
    query_overlap: float = 0.0
    """Share of the query's area that lies within the hit."""
    hit_overlap: float = 0.0
    """Share of the hit's area that lies within the query."""


NO_AGREEMENT = Agreement()


def describe(pixels: Pixels) -> Features:
    """Extract features. pixels: (h, w, 3) uint8 RGB or (h, w) uint8 grey, of any size.

    cv2 takes its own threads for it (`cv2.setNumThreads`), and releases the GIL.
    """
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width, 1)
    size = round(width * scale), round(height * scale)
    if min(size) < MIN_SHORT_SIDE:
        return _pack(size, (), None)
    import cv2

    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.resize(np.ascontiguousarray(grey), size, interpolation=how)
    sift = cv2.SIFT.create(nfeatures=MAX_FEATURES, contrastThreshold=CONTRAST)
    found, descriptors = sift.detectAndCompute(grey, None)
    return _pack(size, found, descriptors)


def _pack(size: tuple[int, int], found: Sequence[Any], descriptors: Any) -> Features:
    """cv2's keypoints and descriptors as arrays. Its points count from a pixel's centre."""
    # Ties with the last one may make them more than asked for. Without any, descriptors is None.
    count = min(len(found), MAX_FEATURES)
    values = np.array([(*each.pt, each.size, each.angle) for each in found[:count]])
    x, y, diameter, degrees = values.reshape(count, 4).T
    return Features(
        *size,
        points=(x + 0.5) + 1j * (y + 0.5),
        frames=diameter * np.exp(1j * np.radians(degrees)),
        descriptors=(descriptors[:count] if count else np.empty((0, 128))).astype(np.uint8),
    )


_BINS = np.arange(128).reshape(4, 4, 8)
_MIRRORED_BINS = _BINS[::-1][:, :, -np.arange(8) % 8].ravel()


def mirror(features: Features) -> Features:
    """The features of the picture with left and right swapped, without the picture.

    A feature's square is read along its orientation, so swapping sides reverses its rows, and turns
    the directions of its gradients the other way (Guo and Cao, MIFT, 2012).
    """
    return Features(
        features.width,
        features.height,
        features.width - features.points.conj(),
        -features.frames.conj(),
        features.descriptors[:, _MIRRORED_BINS],
    )


def verify(query: Features, hit: Features) -> Agreement:
    """Find what of two pictures agrees, as they are or with the query mirrored.

    The mirrored query is not tried where 4 * PART matches agree already.
    """
    straight = _agree(query, hit, mirrored=False)
    if straight.inliers >= 4 * PART:
        return straight
    mirrored = _agree(mirror(query), hit, mirrored=True)
    return max(straight, mirrored, key=lambda each: each.inliers)


def _agree(query: Features, hit: Features, *, mirrored: bool) -> Agreement:
    of_query, of_hit = _match(query.descriptors, hit.descriptors)
    matches = _Matches(
        query.points[of_query],
        hit.points[of_hit],
        hit.frames[of_hit] / query.frames[of_query],
    )
    found = _fit(matches)
    if found is None:
        return NO_AGREEMENT
    transform, inliers = found
    inliers = inliers[_distinct(matches.query[inliers])]
    inliers = inliers[_distinct(matches.hit[inliers])]
    points = matches.query[inliers], matches.hit[inliers]
    if len(inliers) < MIN_INLIERS or min(map(_spread, points)) < MIN_SPREAD:
        return NO_AGREEMENT
    return _report(query, hit, transform, points, mirrored=mirrored)


def _match(
    query: NDArray[np.uint8], hit: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of descriptors that are each other's nearest, and nearer than the second-nearest by
    RATIO; the clearest first."""
    if min(len(query), len(hit)) < MIN_INLIERS:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    import cv2

    # Not NumPy's product: OpenBLAS's threads, which spin, take several times the processor time.
    nothing = np.empty(0, np.float32)
    product = cv2.gemm(_root(query), _root(hit), 1, nothing, 0, flags=cv2.GEMM_2_T)
    similarity = np.asarray(product)
    rows = np.arange(len(query))
    nearest = similarity.argmax(axis=1)
    mutual = similarity.argmax(axis=0)[nearest] == rows
    # |a - b|² = 2 - 2ab for vectors of length 1; rounding must not make it negative.
    distance = np.maximum(1 - similarity[rows, nearest], 0)
    similarity[rows, nearest] = -1
    ratio = distance / np.maximum(1 - similarity.max(axis=1), np.finfo(np.float32).eps)
    kept = np.flatnonzero(mutual & (ratio < RATIO**2))
    kept = kept[np.argsort(ratio[kept], kind="stable")]
    return kept, nearest[kept]


def _root(descriptors: NDArray[np.uint8]) -> Floats:
    """SIFT -> root-SIFT: rows of length 1, whose inner product is Hellinger's kernel."""
    sums = descriptors.sum(axis=1, keepdims=True, dtype=np.float32)
    rooted: Floats = np.sqrt(descriptors / np.maximum(sums, 1))
    return rooted


@dataclass(frozen=True, eq=False)
class _Matches:
    query: Points
    hit: Points
    turns: Points
    """How much larger, and turned, a feature is in the hit."""

    def agree(self, factors: Points, offsets: Points) -> NDArray[np.bool_]:
        """Which matches (last axis) agree with transforms; symmetric in query and hit."""
        larger = np.maximum(abs(factors), 1)
        near = abs(factors * self.query + offsets - self.hit) <= TOLERANCE * larger
        return near & _turns_agree(self.turns, factors)


def _turns_agree(turns: Points, factors: Points) -> NDArray[np.bool_]:
    rest = turns / factors
    size = abs(rest)
    same_scale = (size <= SCALE_AGREES) & (size >= 1 / SCALE_AGREES)
    return same_scale & (rest.real >= ANGLE_AGREES * size)


def _fit(matches: _Matches) -> tuple[tuple[complex, complex], NDArray[np.intp]] | None:
    """The transform, factor and offset, on which most matches agree, and their indices."""
    factors, offsets = _hypotheses(matches)
    if not len(factors):
        return None
    agreeing = matches.agree(factors[:, np.newaxis], offsets[:, np.newaxis])
    best = int(agreeing.sum(axis=1).argmax())
    transform, inliers = (complex(factors[best]), complex(offsets[best])), agreeing[best]
    for _ in range(_REFINEMENTS):
        refined = _least_squares(matches.query[inliers], matches.hit[inliers])
        again = matches.agree(*map(np.asarray, refined))
        if again.sum() < inliers.sum():
            break
        transform, inliers = refined, again
    return transform, np.flatnonzero(inliers)


def _hypotheses(matches: _Matches) -> tuple[Points, Points]:
    """Factors and offsets of the transforms that pairs of the clearest matches define."""
    first, second = np.triu_indices(min(len(matches.query), _PAIRED), 1)
    apart = matches.query[second] - matches.query[first]
    apart_in_hit = matches.hit[second] - matches.hit[first]
    far = (abs(apart) > 2 * TOLERANCE) & (abs(apart_in_hit) > 2 * TOLERANCE)
    first, second = first[far], second[far]
    factors = apart_in_hit[far] / apart[far]
    kept = (abs(factors) <= MAX_SCALE) & (abs(factors) >= 1 / MAX_SCALE)
    for ends in (first, second):
        kept &= _turns_agree(matches.turns[ends], factors)
    chosen = np.flatnonzero(kept)
    step = -(-len(chosen) // _HYPOTHESES) or 1
    chosen = chosen[::step]
    ends = first[chosen]
    return factors[chosen], matches.hit[ends] - factors[chosen] * matches.query[ends]


def _least_squares(query: Points, hit: Points) -> tuple[complex, complex]:
    """The similarity transform with the least sum of squared distances (Umeyama 1991)."""
    centre, target = query.mean(), hit.mean()
    centred = query - centre
    factor = complex(np.vdot(centred, hit - target) / np.vdot(centred, centred).real)
    return factor, complex(target - factor * centre)


def _distinct(points: Points) -> NDArray[np.intp]:
    """Indices of one point in each cell of the grid, in their order."""
    cells = np.floor(points.real / CELL) + 1j * np.floor(points.imag / CELL)
    return np.sort(np.unique(cells, return_index=True)[1])


def _spread(points: Points) -> float:
    """The standard deviation across the main direction, in pixels."""
    variances = np.linalg.eigvalsh(np.cov(points.real, points.imag))
    return math.sqrt(max(float(variances[0]), 0.0))


def _report(
    query: Features,
    hit: Features,
    transform: tuple[complex, complex],
    points: tuple[Points, Points],
    *,
    mirrored: bool,
) -> Agreement:
    """query: mirrored already, if `mirrored`; its points are turned back here."""
    factor, offset = transform
    corners = np.array([0, query.width, query.width + 1j * query.height, 1j * query.height])
    shared = _shared_area(factor * corners + offset, hit)
    in_query = _fractions(points[0], query)
    if mirrored:
        in_query[:, 0] = 1 - in_query[:, 0]
    return Agreement(
        inliers=len(points[0]),
        mirrored=mirrored,
        scale=abs(factor),
        rotation=math.degrees(math.atan2(factor.imag, factor.real)),
        transform=_as_matrix(factor, offset, query, hit, mirrored=mirrored),
        query_points=in_query,
        hit_points=_fractions(points[1], hit),
        query_overlap=min(shared / (abs(factor) ** 2 * query.width * query.height), 1.0),
        hit_overlap=min(shared / (hit.width * hit.height), 1.0),
    )


def _shared_area(quadrilateral: Points, hit: Features) -> float:
    """Of a convex quadrilateral and the hit's rectangle, in pixels."""
    import cv2

    outline = np.stack([quadrilateral.real, quadrilateral.imag], axis=1).astype(np.float32)
    right, bottom = hit.width, hit.height
    rectangle = np.array([(0, 0), (right, 0), (right, bottom), (0, bottom)], np.float32)
    return float(cv2.intersectConvexConvex(outline, rectangle)[0])


def _fractions(points: Points, picture: Features) -> Floats:
    x, y = points.real / picture.width, points.imag / picture.height
    return np.stack([x, y], axis=1).astype(np.float32)


def _as_matrix(
    factor: complex, offset: complex, query: Features, hit: Features, *, mirrored: bool
) -> NDArray[np.float64]:
    """(2, 3), from fractions of the query to fractions of the hit."""
    matrix = np.array(
        [[factor.real, -factor.imag, offset.real], [factor.imag, factor.real, offset.imag]]
    )
    width = -query.width if mirrored else query.width
    matrix[:, 2] += matrix[:, 0] * (query.width if mirrored else 0)
    matrix[:, :2] *= (width, query.height)
    matrix /= np.array([[hit.width], [hit.height]])
    return matrix
