"""Chance levels against all orders of a small gallery, one by one."""

from __future__ import annotations

from itertools import combinations
from math import prod

import numpy as np
import pytest

from eval.chance import chance
from eval.metrics import revisited_precision, score_query, ukbench_ns

KS = [1, 2, 5, 20]
SIZES = [(1, 1), (1, 2), (1, 7), (2, 7), (3, 9), (5, 8), (6, 6)]


@pytest.mark.parametrize(("relevant", "gallery"), SIZES)
def test_the_chance_level_is_the_mean_over_all_orders(relevant: int, gallery: int) -> None:
    scores = []
    for places in combinations(range(gallery), relevant):
        rel = np.zeros(gallery, dtype=bool)
        rel[list(places)] = True
        own = {f"mp@{k}": revisited_precision(rel, relevant, k) for k in KS}
        scores.append({**score_query(rel, relevant, KS), **own, "ns": ukbench_ns(rel)})
    assert len(scores[0]) == 5 * 4 + 6
    for name in scores[0]:
        expected = np.mean([each[name] for each in scores])
        assert chance(name, relevant, gallery) == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize(("relevant", "gallery", "k"), [(5, 60_501, 10), (700, 5_000, 1000)])
def test_the_chance_of_a_hit_is_the_hypergeometric_distributions(
    relevant: int, gallery: int, k: int
) -> None:
    # One draw after the other misses all relevant images.
    missed = prod((gallery - relevant - drawn) / (gallery - drawn) for drawn in range(k))
    expected = 1 - missed
    assert chance(f"hit_rate@{k}", relevant, gallery) == pytest.approx(expected, rel=1e-9)


def test_average_precision_at_chance_is_near_the_share_of_relevant_images() -> None:
    assert chance("map", 100, 10_000) == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize(
    ("metric", "relevant", "gallery"),
    [("map", 0, 5), ("map", 6, 5), ("accuracy", 1, 5), ("hit_rate@x", 1, 5), ("map@3", 1, 5)],
)
def test_what_has_no_chance_level_is_an_error(metric: str, relevant: int, gallery: int) -> None:
    with pytest.raises(ValueError, match=r"can't be among|no metric"):
        chance(metric, relevant, gallery)
