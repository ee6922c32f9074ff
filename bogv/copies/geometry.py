"""Geometric verification: whether two pictures show the same thing, and where.

SIFT features of both pictures, compared as root-SIFT (Arandjelović and Zisserman, Three things
everyone should know to improve object retrieval, 2012), are matched, and the similarity transform
on which most matches agree is sought. As in Philbin et al., Object retrieval with large
vocabularies and fast spatial matching, 2007, the hypotheses come from the matches in a fixed order,
so nothing is random; as in Jégou et al., Hamming embedding and weak geometric consistency, 2008,
the scale and orientation of the features themselves must agree with the transform, too.

Points are complex numbers in here, in pixels: a similarity transform is then
`factor * point + offset`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bogv.copies.features import Features, Points, mirror

PART = 20
"""Inliers from which on one picture shows a part of the other, or the same thing in another shot.
Measured by `python -m eval copies`: see eval/README.md."""
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
MIN_COVERAGE = 0.6
"""Of the features where both pictures show the same place, so many lie among the agreeing points,
in the picture of the two where it is more. What agrees only in a smaller part shares that part: a
brand's logo on another package, or what lies behind the things."""
CELL = 6.0
"""Pixels; points in one cell of this grid count once."""

_PAIRED = 128  # matches, the best, whose pairs give the hypotheses
_HYPOTHESES = 256
_REFINEMENTS = 4

Floats = NDArray[np.float32]


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
    residual: float = 0.0
    """Pixels of the smaller picture, at SIDE: the median distance between the hit's points and
    those that the affine transform of the query's gives which fits them best. The same picture's
    points agree to a fraction of a pixel, those of another shot don't."""


NO_AGREEMENT = Agreement()


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
    if _coverage(query, hit, transform, points) < MIN_COVERAGE:
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


def _coverage(
    query: Features,
    hit: Features,
    transform: tuple[complex, complex],
    points: tuple[Points, Points],
) -> float:
    """The share of the features where both pictures are that lie in the convex hull of the agreeing
    points: the larger one of both pictures'."""
    factor, offset = transform
    in_both = (
        query.points[_lies_in(hit, factor * query.points + offset)],
        hit.points[_lies_in(query, (hit.points - offset) / factor)],
    )
    return max(map(_share_in_hull, in_both, points))


def _lies_in(picture: Features, points: Points) -> NDArray[np.bool_]:
    across = (points.real >= 0) & (points.real <= picture.width)
    inside: NDArray[np.bool_] = across & (points.imag >= 0) & (points.imag <= picture.height)
    return inside


def _share_in_hull(points: Points, outline: Points) -> float:
    """Of the points that lie in the convex hull of the outline's, its edges included."""
    import cv2

    corners = cv2.convexHull(np.stack([outline.real, outline.imag], axis=1).astype(np.float32))
    hull: Points = corners[:, 0].astype(np.float64) @ np.array([1, 1j])
    edges = np.roll(hull, -1) - hull
    # Of the same sign for all edges, where a point lies inside.
    sides = (edges.conj() * (points[:, np.newaxis] - hull)).imag
    slack = 0.01 * abs(edges)  # a corner may be rounded outwards
    inside = (sides >= -slack).all(axis=1) | (sides <= slack).all(axis=1)
    return float(inside.mean()) if len(points) else 0.0


def _residual(factor: complex, points: tuple[Points, Points]) -> float:
    """As of `Agreement`. In complex numbers, an affine transform is a z + b conj(z) + c."""
    query, hit = points
    terms = np.stack([query, query.conj(), np.ones_like(query)], axis=1)
    fitted = terms @ np.linalg.lstsq(terms, hit, rcond=None)[0]
    return float(np.median(abs(fitted - hit))) / max(abs(factor), 1)


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
        residual=_residual(factor, points),
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
