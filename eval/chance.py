"""Chance levels: the expected value of each metric when the gallery is ranked at random.

A random order of `gallery` images, of which `relevant` are relevant (without the query and junk):
any image is relevant at any rank with probability p = relevant / gallery, and two given ranks are
both relevant with probability p · (relevant - 1) / (gallery - 1). All formulas but hit_rate@k's
and mrr's follow from these two, since the expectation of a sum is the sum of the expectations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import comb

import numpy as np


@lru_cache(maxsize=1 << 16)
def chance(metric: str, relevant: int, gallery: int) -> float:
    """The expected value of one query's metric, named as in `eval.metrics.score_query`, or `ns`.

    relevant: from 1 to `gallery`. Raises ValueError for other numbers and for unknown metrics.

    >>> chance("precision@10", relevant=14, gallery=299) == 14 / 299
    True
    """
    if not 1 <= relevant <= gallery:
        raise ValueError(f"{relevant} relevant images can't be among {gallery}.")
    name, at, k = metric.partition("@")
    if at and k.isdigit() and name in _AT_K:
        return _AT_K[name](relevant, gallery, int(k))
    if metric in _WHOLE:
        return _WHOLE[metric](relevant, gallery)
    raise ValueError(f"There is no metric {metric!r}.")


def hit_rate(relevant: int, gallery: int, k: int) -> float:
    """1 - C(gallery - relevant, k) / C(gallery, k): not all of k are irrelevant.

    Source: the hypergeometric distribution, drawing without replacement; Feller, An Introduction
    to Probability Theory and Its Applications, volume 1, section II.6.

    >>> hit_rate(relevant=1, gallery=4, k=2)
    0.5
    """
    k = min(k, gallery)
    return 1 - comb(gallery - relevant, k) / comb(gallery, k)


def recall(relevant: int, gallery: int, k: int) -> float:
    """k · p / relevant = k / gallery; 1 where k is the whole gallery or more."""
    del relevant
    return min(k, gallery) / gallery


def precision(relevant: int, gallery: int, k: int) -> float:
    """p, as the hypergeometric distribution's mean is k · p; less where k > gallery."""
    return relevant / gallery * min(k, gallery) / k


def revisited_precision(relevant: int, gallery: int, k: int) -> float:
    """`precision`, and more where the last relevant image is at a rank i <= k.

    Adds the sum over i of P(it is at i) · relevant · (1 / i - 1 / k), with
    P = C(i - 1, relevant - 1) / C(gallery, relevant), the negative hypergeometric distribution.

    Relevant at rank 1 or at rank 2:

    >>> revisited_precision(relevant=1, gallery=2, k=2)
    0.75
    """
    orders = comb(gallery, relevant)
    more = sum(
        comb(rank - 1, relevant - 1) / orders * relevant * (1 / rank - 1 / k)
        for rank in range(relevant, min(k, gallery) + 1)
    )
    return precision(relevant, gallery, k) + more


def ndcg(relevant: int, gallery: int, k: int) -> float:
    """p · (sum over i <= k of 1 / log2(i + 1)) / (the same sum over i <= min(k, relevant))."""
    discounts = 1 / np.log2(np.arange(2, min(k, gallery) + 2))
    return float(relevant / gallery * discounts.sum() / discounts[: min(k, relevant)].sum())


def average_precision(relevant: int, gallery: int) -> float:
    """(H + (relevant - 1) / (gallery - 1) · (gallery - H)) / gallery, H = 1 + 1/2 + … + 1/gallery.

    A relevant image at rank i adds (1 + relevant ones before it) / i. Source: Manzhos, Ianevych,
    Melnyk, Average Precision at Cutoff k under Random Rankings, arXiv:2511.02571 (offline), and
    Bestgen, Exact Expected Average Precision of the Random Baseline for System Evaluation, 2015.

    Relevant at rank 1 or at rank 2:

    >>> average_precision(relevant=1, gallery=2)
    0.75
    """
    return _average_precision(relevant, gallery, gallery)


def average_precision_trapezoid(relevant: int, gallery: int) -> float:
    """The mean of `average_precision` and of the same with the precision before each image.

    Before the image at rank i > 1 that precision is expected to be (relevant - 1) / (gallery - 1);
    before rank 1 it counts as 1, as in `eval.metrics.average_precision_trapezoid`.

    >>> average_precision_trapezoid(relevant=1, gallery=2)
    0.625
    """
    before = (1 + (gallery - 1) * _another(relevant, gallery)) / gallery
    return (before + average_precision(relevant, gallery)) / 2


def map_at_r(relevant: int, gallery: int) -> float:
    """As `average_precision`, with the sum over ranks up to `relevant` only."""
    return _average_precision(relevant, gallery, relevant)


def reciprocal_rank(relevant: int, gallery: int) -> float:
    """Sum over i of 1 / i · P(the first relevant image is at rank i).

    P = C(gallery - i, relevant - 1) / C(gallery, relevant), the negative hypergeometric
    distribution.

    >>> reciprocal_rank(relevant=1, gallery=2)
    0.75
    """
    ranks = np.arange(1, gallery - relevant + 2)
    # P(rank j is irrelevant, if those before it are), for each j.
    free = (gallery - relevant - ranks[:-1] + 1) / (gallery - ranks[:-1] + 1)
    none_before = np.concatenate([[1.0], np.cumprod(free)])
    first = none_before * relevant / (gallery - ranks + 1)
    return float((first / ranks).sum())


def ukbench_ns(relevant: int, gallery: int) -> float:
    """1 + 3 · p: the query itself, and three ranks."""
    return 1 + min(3, gallery) * relevant / gallery


def _average_precision(relevant: int, gallery: int, ranks: int) -> float:
    """Of the ranks up to `ranks` alone."""
    harmonic = float((1 / np.arange(1, ranks + 1)).sum())
    return (harmonic + _another(relevant, gallery) * (ranks - harmonic)) / gallery


def _another(relevant: int, gallery: int) -> float:
    """The probability that another rank is relevant, given that one is."""
    return (relevant - 1) / max(gallery - 1, 1)


_AT_K: dict[str, Callable[[int, int, int], float]] = {
    "hit_rate": hit_rate,
    "recall": recall,
    "precision": precision,
    "mp": revisited_precision,
    "ndcg": ndcg,
}
_WHOLE: dict[str, Callable[[int, int], float]] = {
    "r_precision": lambda relevant, gallery: relevant / gallery,
    "map": average_precision,
    "map_trapezoid": average_precision_trapezoid,
    "map@r": map_at_r,
    "mrr": reciprocal_rank,
    "ns": ukbench_ns,
}
