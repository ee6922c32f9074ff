"""Exact confidence limits of a share (Clopper and Pearson, Biometrika 26, 1934)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

CONFIDENCE = 0.95
_STEPS = 60  # halvings of [0, 1]


@lru_cache(maxsize=4096)
def upper_limit(count: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The share that is exceeded with probability 1 - confidence at most, one-sided.

    It is the p at which `count` or fewer of `trials` have the probability 1 - confidence; 1 if all
    counted, or there were no trials.

    >>> round(upper_limit(0, 5000), 6)  # about 3 / trials
    0.000599
    """
    if count >= trials:
        return 1.0
    terms = np.array([_log_binomial(trials, each) for each in range(count + 1)])
    counts = np.arange(count + 1)
    low, high = count / trials, 1.0
    for _ in range(_STEPS):
        share = (low + high) / 2
        logs = terms + counts * math.log(share) + (trials - counts) * math.log1p(-share)
        if np.exp(logs).sum() > 1 - confidence:
            low = share
        else:
            high = share
    return high


def lower_limit(count: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """As `upper_limit`, from below; 0 if none counted."""
    return 1 - upper_limit(trials - count, trials, confidence) if trials else 0.0


def interval(count: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The two-sided interval of a share."""
    one_sided = (1 + confidence) / 2
    return lower_limit(count, trials, one_sided), upper_limit(count, trials, one_sided)


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
