"""Retrieval metrics: pure functions of the relevance judgements of one query's ranking.

`order` ranks, `judge` marks the relevant images, and the other functions compute metrics. `rel` is
always the result of `judge`: one boolean per image, best first, without the query and junk. It may
cover the whole gallery or only the top ranks; a relevant image beyond its end counts as not found.
`total` is the number of relevant images in the gallery, found or not, without the query and junk.
It is at least 1: a query without a relevant image can't be scored, so the caller excludes it and
reports the number of such queries. `k` may exceed the ranking's length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Relevance = NDArray[np.bool_]
Id = int | str
Ids = NDArray[Any] | Iterable[Id]

TIE = 1e-6
"""Cosines of unit vectors that differ by less are equal within float32's precision."""


def order(scores: ArrayLike, ids: Ids) -> NDArray[np.intp]:
    """Indices that rank by (-score, id): the highest score first, ties by the smallest id.

    Ties are broken by id, not by position, so the order of the files has no influence.

    Raises ValueError if a score is NaN, or if scores and ids differ in length.

    >>> order([0.5, 0.9, 0.9], [1, 8, 3])
    array([2, 1, 0])
    """
    values = np.asarray(scores, dtype=np.float64)
    names = _array(ids)
    if values.shape != names.shape:
        raise ValueError(f"There are {values.size} scores for {names.size} ids.")
    if np.isnan(values).any():
        raise ValueError("A score is NaN; such an image can't be ranked.")
    return np.lexsort((names, -values))


def judge(ranked_ids: Ids, relevant: Ids, query_id: Id | None, junk: Ids = ()) -> Relevance:
    """Which of the ranked images are relevant, best first, without the query and without junk.

    The query is removed by its id, at whatever rank: an exact duplicate may be ranked before it.
    Junk is neither relevant nor irrelevant: it is removed, and lower ranks move up (revisited
    Oxford and Paris, arXiv:1803.11285). An empty ranking gives an empty array.
    query_id: None if the query is not in the gallery.

    Raises ValueError for an id that is ranked twice, since it would be counted twice.

    >>> judge([7, 2, 9, 4], relevant={2, 4}, query_id=9)
    array([False,  True,  True])
    >>> judge([7, 2, 9, 4], relevant={2, 4}, query_id=9, junk={7})
    array([ True,  True])
    """
    ranked = _unique(ranked_ids)
    out = _among(ranked, junk)
    if query_id is not None:
        out |= _among(ranked, [query_id])
    return _among(ranked[~out], relevant)


def count_relevant(relevant: Ids, query_id: Id | None, junk: Ids = ()) -> int:
    """The number of relevant images in the gallery: `total`, by the same rules as `judge`.

    Neither the query (although it has the same label) nor junk is counted. If it is 0, the query
    must be excluded.

    >>> count_relevant({2, 4, 9}, query_id=9)
    2
    """
    return int(judge(np.unique(_array(relevant)), relevant, query_id, junk).sum())


def hit_rate(rel: Relevance, k: int) -> float:
    """1 if any of the first k is relevant, else 0. Metric learning calls its mean "recall@k".

    max of rel[:k]. An empty ranking gives 0.
    Source: Song, Xiang, Jegelka, Savarese, Deep Metric Learning via Lifted Structured Feature
    Embedding, arXiv:1511.06452.

    >>> rel = np.array([0, 1, 1, 0, 1], dtype=bool)
    >>> hit_rate(rel, 1), hit_rate(rel, 2)
    (0.0, 1.0)
    """
    return float(_first(rel, k).any())


def recall(rel: Relevance, total: int, k: int) -> float:
    """The share of the relevant images that are among the first k: found / relevant.

    sum(rel[:k]) / total. An empty ranking gives 0. It is below 1 if k < total.
    Source: Manning, Raghavan, Schütze, Introduction to Information Retrieval, section 8.3.

    Two of four among the first three:

    >>> recall(np.array([0, 1, 1, 0, 1], dtype=bool), total=4, k=3)
    0.5
    """
    _check_total(rel, total)
    return float(_first(rel, k).sum() / total)


def precision(rel: Relevance, k: int) -> float:
    """The share of relevant images among the first k.

    sum(rel[:k]) / k. The denominator is k even if fewer are ranked; an empty ranking gives 0.
    Source: Manning, Raghavan, Schütze, Introduction to Information Retrieval, section 8.4.

    >>> rel = np.array([0, 1, 1, 0, 1], dtype=bool)
    >>> precision(rel, 4), precision(rel, 10)
    (0.5, 0.3)
    """
    return float(_first(rel, k).sum() / k)


def r_precision(rel: Relevance, total: int) -> float:
    """Precision at R = total, where precision equals recall.

    sum(rel[:R]) / R. An empty ranking gives 0.
    Source: Manning, Raghavan, Schütze, Introduction to Information Retrieval, section 8.4.

    Three relevant, two of them among the first three:

    >>> round(r_precision(np.array([0, 1, 1, 0, 1], dtype=bool), total=3), 6)
    0.666667
    """
    _check_total(rel, total)
    return precision(rel, total)


def map_at_r(rel: Relevance, total: int) -> float:
    """Average precision over the first R = total ranks: R-precision that depends on the order.

    sum over i <= R of rel[i] * precision at i, / R. An empty ranking gives 0.
    Source: Musgrave, Belongie, Lim, A Metric Learning Reality Check, arXiv:2003.08505.

    Precision is 1/2 at rank 2 and 2/3 at rank 3: (1/2 + 2/3) / 3.

    >>> round(map_at_r(np.array([0, 1, 1, 0, 1], dtype=bool), total=3), 6)
    0.388889
    """
    _check_total(rel, total)
    return average_precision(rel[:total], total)


def average_precision(rel: Relevance, total: int) -> float:
    """The mean of the precision at the ranks of the relevant images; rectangle rule.

    sum of rel[i] * precision at i, / total: a relevant image that is not ranked adds 0. An empty
    ranking gives 0.
    Source: scikit-learn's `average_precision_score`; trec_eval's `map`.

    Precision is 1/2, 2/3 and 3/5 at the three that are found: (1/2 + 2/3 + 3/5) / 3.

    >>> round(average_precision(np.array([0, 1, 1, 0, 1], dtype=bool), total=3), 6)
    0.588889
    """
    _check_total(rel, total)
    ranks = np.flatnonzero(rel)  # counted from 0
    found = np.arange(1, ranks.size + 1)
    return float((found / (ranks + 1)).sum() / total)


def average_precision_trapezoid(rel: Relevance, total: int) -> float:
    """Area under the precision-recall curve, trapezoidal rule; the papers' mAP on Oxford, Holidays.

    sum over the ranked relevant images, the j-th (from 0) at rank r (from 0), of
    (j / r + (j + 1) / (r + 1)) / 2, / total, where j / r is 1 for r = 0. An empty ranking gives 0.
    At most `average_precision`: each trapezoid starts at the precision just before its image.
    Source: `compute_ap` of the revisited Oxford and Paris, github.com/filipradenovic/revisitop.

    ((0 + 1/2) / 2 + (1/2 + 2/3) / 2 + (2/4 + 3/5) / 2) / 3:

    >>> round(average_precision_trapezoid(np.array([0, 1, 1, 0, 1], dtype=bool), total=3), 6)
    0.461111
    """
    _check_total(rel, total)
    ranks = np.flatnonzero(rel)  # counted from 0
    found = np.arange(ranks.size)
    before = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
    after = (found + 1) / (ranks + 1)
    return float(((before + after) / 2).sum() / total)


def reciprocal_rank(rel: Relevance) -> float:
    """1 / rank of the first relevant image, counted from 1. Its mean is the MRR.

    0 if no relevant image is ranked.
    Source: Voorhees, The TREC-8 Question Answering Track Report, 1999.

    >>> reciprocal_rank(np.array([0, 1, 1, 0, 1], dtype=bool))
    0.5
    """
    ranks = np.flatnonzero(rel)
    return float(1 / (ranks[0] + 1)) if ranks.size else 0.0


def ndcg(rel: Relevance, total: int, k: int) -> float:
    """Normalised discounted cumulative gain of the first k.

    (sum over i <= k of rel[i] / log2(i + 1)) / (the same sum with a relevant image at each of the
    first min(k, total) ranks), i counted from 1. Gains are 0 or 1. An empty ranking gives 0.
    Source: Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002, in the
    form with log2(i + 1) that scikit-learn, ranx and trec_eval use.

    (1 / log2(3) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4)):

    >>> round(ndcg(np.array([0, 1, 1, 0, 1], dtype=bool), total=3, k=3), 6)
    0.530721
    """
    _check_total(rel, total)
    first = _first(rel, k)
    ideal = min(k, total)
    discounts = 1 / np.log2(np.arange(2, max(first.size, ideal) + 2))
    return float(discounts[: first.size][first].sum() / discounts[:ideal].sum())


def graded_ndcg(gains: ArrayLike, ideal: ArrayLike, k: int) -> float:
    """Normalised discounted cumulative gain of the first k, where relevance has grades.

    (sum over i <= k of gains[i] / log2(i + 1)) / (the same sum of `ideal`, the highest first), i
    counted from 1. The gain of an image is its grade itself.
    gains: (n,), of the ranked images, best first. ideal: of all judged images, in any order; 0 if
    none is above 0, as in trec_eval. 0 to 1 if the ranked images are among those of `ideal`.
    Source: Järvelin, Kekäläinen, Cumulated gain-based evaluation of IR techniques, 2002, in the
    form with log2(i + 1) that `ndcg` has.

    (1 / log2(2) + 2 / log2(4)) / (2 / log2(2) + 1 / log2(3)):

    >>> round(graded_ndcg([1, 0, 2], ideal=[1, 0, 2], k=3), 6)
    0.760188
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    first = np.asarray(gains, np.float64)[:k]
    best = np.sort(np.asarray(ideal, np.float64))[::-1][:k]
    discounts = 1 / np.log2(np.arange(2, max(first.size, best.size) + 2))
    whole = float((discounts[: best.size] * best).sum())
    return float((discounts[: first.size] * first).sum()) / whole if whole else 0.0


def ukbench_ns(rel: Relevance) -> float:
    """UKBench's N-S score: how many of the query's group of four are among the first four; 1 to 4.

    1 + sum(rel[:3]): the query, which `judge` has removed, counts as found. This equals the
    official score (hits among the first four, including the query) if the query is among the first
    four. If four exact duplicates displaced it, the official score could be lower.
    A count, not a share. An empty ranking gives 1.
    Source: Nistér, Stewénius, Scalable Recognition with a Vocabulary Tree, CVPR 2006.

    The query itself, and two more among the next three:

    >>> ukbench_ns(np.array([0, 1, 1, 0, 1], dtype=bool))
    3.0
    """
    return float(1 + rel[:3].sum())


def ann_recall(found_ids: Ids, exact_ids: Ids) -> float:
    """The share of the true nearest neighbours that an approximate index found.

    |found and exact| / |exact|, for one query, as sets. 0 if nothing was found. Independent of
    relevance. If several images tie for the last rank, the index may find another of them, which
    counts as missed.
    Source: Aumüller, Bernhardsson, Faithfull, ANN-Benchmarks, arXiv:1807.05614 (there by distance).

    Raises ValueError if an id occurs twice, if there are no exact neighbours, and if more were
    found than are exact, since a longer result would score higher.

    >>> ann_recall([5, 3, 9, 1], [3, 5, 8, 1])
    0.75
    """
    found, exact = _unique(found_ids), _unique(exact_ids)
    if not exact.size:
        raise ValueError("The exact search found nothing to compare with.")
    if found.size > exact.size:
        raise ValueError(f"{found.size} were found, to be compared with only {exact.size}.")
    return float(_among(found, exact).sum() / exact.size)


def ann_recall_ties(found_scores: ArrayLike, exact_scores: ArrayLike) -> float:
    """`ann_recall` in which any image that ties with the last exact neighbour counts as found.

    |found with a score of at least the last exact one| / |exact|. Both are exact scores: the found
    images are scored again, without the index. Scores within TIE of each other are a tie, because
    indexes compute in float32. ANN-Benchmarks counts alike (by distance, with a tolerance of a
    thousandth).

    Raises ValueError as `ann_recall` does.

    >>> ann_recall_ties([0.9, 0.7, 0.5], [0.9, 0.8, 0.7])
    0.6666666666666666
    """
    found = np.asarray(found_scores, np.float64)
    exact = np.asarray(exact_scores, np.float64)
    if not exact.size:
        raise ValueError("The exact search found nothing to compare with.")
    if found.size > exact.size:
        raise ValueError(f"{found.size} were found, to be compared with only {exact.size}.")
    return float((found >= exact.min() - TIE).sum() / exact.size)


def revisited_precision(rel: Relevance, total: int, k: int) -> float:
    """The revisited protocol's P@k: precision at k, or at the last relevant image's rank if higher.

    sum(rel[:q]) / q with q = min(k, rank of the last of the `total` relevant images), so that few
    relevant images are no fault of the ranking. An empty ranking gives 0.
    Source: `compute_map` of the revisited Oxford and Paris, github.com/filipradenovic/revisitop.

    All three are found by rank 5; `precision` at 10 would be 0.3:

    >>> rel = np.array([0, 1, 1, 0, 1, 0, 0], dtype=bool)
    >>> revisited_precision(rel, total=3, k=10), revisited_precision(rel, total=4, k=10)
    (0.6, 0.3)
    """
    _check_total(rel, total)
    ranks = np.flatnonzero(rel) + 1
    return precision(rel, min(k, int(ranks[-1])) if ranks.size == total else k)


def score_query(rel: Relevance, total: int, ks: Sequence[int]) -> dict[str, float]:
    """One query's metrics, by the names that their means have in the results.

    `hit_rate@k` is metric learning's recall@k, `recall@k` is found / relevant. `map` uses the
    rectangle rule, `map_trapezoid` the trapezoidal rule.

    >>> scores = score_query(np.array([0, 1, 1, 0, 1], dtype=bool), total=3, ks=[1, 2])
    >>> scores["hit_rate@2"], round(scores["recall@2"], 6), scores["precision@2"], scores["mrr"]
    (1.0, 0.333333, 0.5, 0.5)
    """
    scores: dict[str, float] = {}
    for k in ks:
        scores[f"hit_rate@{k}"] = hit_rate(rel, k)
        scores[f"recall@{k}"] = recall(rel, total, k)
        scores[f"precision@{k}"] = precision(rel, k)
        scores[f"ndcg@{k}"] = ndcg(rel, total, k)
    scores["r_precision"] = r_precision(rel, total)
    scores["map"] = average_precision(rel, total)
    scores["map_trapezoid"] = average_precision_trapezoid(rel, total)
    scores["map@r"] = map_at_r(rel, total)
    scores["mrr"] = reciprocal_rank(rel)
    return scores


def _first(rel: Relevance, k: int) -> Relevance:
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1.")
    return rel[:k]


def _check_total(rel: Relevance, total: int) -> None:
    if total < 1:
        raise ValueError("A query without a relevant image has no score; exclude it.")
    if (found := int(rel.sum())) > total:
        raise ValueError(f"{found} relevant images are ranked, but `total` is only {total}.")


def _array(ids: Ids) -> NDArray[Any]:
    """Ids as int64 or text; other types have no exact comparison."""
    as_is = isinstance(ids, np.ndarray) and ids.dtype != object
    array = np.asarray(ids if as_is else list(ids))
    if not array.size:
        return array
    if array.dtype.kind not in "iuU":
        raise ValueError(f"Ids must be integers or text, not {array.dtype}.")
    return array if array.dtype.kind == "U" else array.astype(np.int64)


def _unique(ids: Ids) -> NDArray[Any]:
    array = _array(ids)
    values, counts = np.unique(array, return_counts=True)
    if values.size < array.size:
        raise ValueError(f"The id {values[counts > 1][0]} occurs more than once in one ranking.")
    return array


def _among(ids: NDArray[Any], others: Ids) -> Relevance:
    array = _array(others)
    # NumPy would compare both as text, so that 1 equals "1" but not "01".
    if ids.size and array.size and ids.dtype.kind != array.dtype.kind:
        raise ValueError("Some ids are numbers and others text.")
    return np.isin(ids, array)
