"""From when on two pictures are copies, and the rate of false positives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bogv.copies.geometry import PART, Agreement
from bogv.copies.thresholds import PAIR_BOUNDS, THRESHOLDS, PairBounds

WHOLE = Agreement(inliers=PART, query_overlap=0.9, hit_overlap=0.95)
CROPPED = Agreement(inliers=PART, query_overlap=1.0, hit_overlap=0.89)
ANOTHER_SHOT = replace(WHOLE, residual=0.6)
FEW = Agreement(inliers=PART - 1, query_overlap=1.0, hit_overlap=1.0)


@pytest.mark.parametrize(
    ("distance", "agreement", "kind"),
    [
        (0, None, "copy"),
        (31, None, "copy"),
        (31, FEW, "copy"),
        (32, None, "similar"),
        (32, FEW, "similar"),
        (70, WHOLE, "copy"),
        (70, CROPPED, "part"),
        (70, ANOTHER_SHOT, "part"),
        (None, WHOLE, "part"),
        (None, CROPPED, "part"),
        (None, FEW, "similar"),
        (None, None, "similar"),
    ],
)
def test_the_kind_follows_from_hashes_and_geometry(
    distance: int | None, agreement: Agreement | None, kind: str
) -> None:
    assert THRESHOLDS.kind_of(distance, agreement) == kind


def test_the_bounds_are_those_of_their_sources() -> None:
    stats = pytest.importorskip("scipy.stats")
    assert pytest.approx(stats.beta.ppf(0.95, 1, 319_600), rel=1e-3) == PAIR_BOUNDS.copy
    n, share, z = 810, 7 / 2850, stats.norm.ppf(0.95)
    spread = (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    upper = (share + z**2 / (2 * n) + z * spread) / (1 + z**2 / n)
    assert PairBounds(copy=0, part=PAIR_BOUNDS.part).rate(0, 12) == pytest.approx(upper, abs=5e-5)


def test_the_rate_grows_with_the_gallery_and_with_what_is_verified() -> None:
    bounds = PairBounds(copy=1e-5, part=1e-3)
    assert bounds.rate(0, 0) == 0
    assert bounds.rate(1, 0) == pytest.approx(1e-5)
    assert bounds.rate(10_000, 0) == pytest.approx(0.0951625, abs=1e-5)
    assert bounds.rate(0, 12) == pytest.approx(0.0119342, abs=1e-6)
    assert bounds.rate(10_000_000, 12) == pytest.approx(1)
