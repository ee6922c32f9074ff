"""The share of a gallery's pairs that a cosine reaches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bogv.calibration.background import TIE, Background, summarise


def background(scores: NDArray[np.float32], *, complete: bool = False) -> Background:
    return summarise(scores, "f", 100, complete=complete)


def untrained(count: int = 5000) -> NDArray[np.float32]:
    """As with untrained weights: between 0.998 and 0.999."""
    return np.random.default_rng(0).uniform(0.998, 0.999, count).astype(np.float32)


def test_a_share_counts_the_pairs_that_are_as_alike() -> None:
    scores = untrained(900)
    for score in (0.99801, 0.9985, 0.99899):
        at_least = int((scores >= score - TIE).sum())
        assert background(scores).rarity(score).share == pytest.approx((at_least + 1) / 901)


def test_shares_of_many_pairs_are_rounded_up_by_little() -> None:
    scores = untrained(50_000)
    found = background(scores)
    assert len(found.scores) < 2000
    for score in np.linspace(0.998, 0.999, 50):
        exact = ((scores >= score - TIE).sum() + 1) / 50_001
        assert exact - 1e-9 <= found.share(float(score)) <= exact * 1.007


def test_beyond_all_pairs_only_a_bound_is_known() -> None:
    found = background(untrained()).rarity(0.9995)
    assert found.beyond
    assert found.share == 1 / 5001
    assert found.upper == pytest.approx(1 - 0.05 ** (1 / 5000))


def test_the_limit_is_above_the_share_unless_all_pairs_were_compared() -> None:
    for score in (0.9982, 0.99895):
        sampled = background(untrained()).rarity(score)
        assert sampled.upper > sampled.share
        assert background(untrained(), complete=True).rarity(score).upper <= sampled.share


def test_rounding_in_the_last_digits_is_a_tie() -> None:
    found = background(np.array([0.9987] * 3 + [0.9981] * 7, np.float32))
    for score in (0.9987, 0.9987 + 3e-7, 0.9987 - 3e-7):
        assert found.rarity(score).share == pytest.approx(4 / 11)
    assert found.rarity(0.99872).beyond


def test_limits_hold_the_true_share_as_often_as_stated() -> None:
    rng = np.random.default_rng(1)
    held = sum(
        background(rng.random(200, np.float32)).rarity(0.98).upper >= 0.02 for _ in range(400)
    )
    assert held >= 0.93 * 400


def test_it_is_the_same_from_its_file() -> None:
    found = background(untrained())
    again = Background.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.rarity(0.9985) == found.rarity(0.9985)
