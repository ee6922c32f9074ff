"""Scoring: from rankings to a result for each query that has something to find."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eval.chance import chance
from eval.data.catalogue import Metric
from eval.data.datasets import Dataset
from eval.metrics import (
    Relevance,
    count_relevant,
    judge,
    revisited_precision,
    score_query,
    ukbench_ns,
)
from eval.retrieval.search import Ranking, Scores
from eval.vectors import Indices

TOP = 10
"""Hits stored for each query."""
DEEP = 100
"""The lowest rank up to which the ranks of relevant images are stored."""


@dataclass(frozen=True)
class QueryResult:
    """The result of one query."""

    query: str
    """The item's id."""
    label: str | None
    unit: str
    """The sampling unit: `eval.data.datasets.Dataset.unit`."""
    first_relevant: int | None
    """Rank of the first relevant image, counted from 1; None: not in the ranking."""
    first_relevant_id: str | None
    first_relevant_score: float | None
    relevant: int
    """The number of relevant images in the gallery."""
    relevant_places: list[int]
    """Ranks of those among the top 100; with `relevant` and `first_relevant`, they give recall@k
    and hit_rate@k for any k up to 100."""
    top_ids: list[str]
    """The top hits, without the query and junk; at most ten."""
    top_scores: list[float]
    scores: dict[Metric, float]


@dataclass(frozen=True)
class JudgedRanking:
    """The whole ranking of a query, without the query and junk."""

    query: int
    """Index into the dataset's items."""
    unit: str
    """The query's sampling unit."""
    found: Indices
    """(n,): indices into the dataset's items, best first."""
    scores: Scores
    """(n,): cosine similarity of each."""
    rel: Relevance
    """(n,): whether each is relevant."""
    total: int
    """The number of relevant images in the gallery."""


Observer = Callable[[JudgedRanking], object]
"""Is given each ranking once, as it is scored: what needs all of it can't be had from a result."""


@dataclass(frozen=True)
class Duplicate:
    """A query and an image of the gallery that are the same picture under two ids."""

    query: str
    gallery: str
    same: Literal["bytes", "pixels"] = "bytes"
    """The file; or only what the network sees of it, as where one is PNG and one lossless WebP."""


def has_relevant(dataset: Dataset, query: int) -> bool:
    """Whether the query has a relevant image; others are excluded."""
    return count_relevant(dataset.relevant(query), query, dataset.junk(query)) > 0


def score(
    dataset: Dataset,
    rankings: Iterable[Ranking],
    ks: Sequence[int],
    observers: Sequence[Observer] = (),
) -> Iterator[QueryResult]:
    """A result for each ranking of a query that has a relevant image; observers see the same."""
    for ranking in rankings:
        if has_relevant(dataset, ranking.query):
            judged = _judge_ranking(dataset, ranking)
            for observe in observers:
                observe(judged)
            yield _score_ranking(dataset, judged, ks)


def _judge_ranking(dataset: Dataset, ranking: Ranking) -> JudgedRanking:
    query = ranking.query
    relevant, junk = dataset.relevant(query), dataset.junk(query)
    judged_items = drop_query_and_junk(ranking.found, query, junk)
    return JudgedRanking(
        query=query,
        unit=dataset.unit(query),
        found=judged_items,
        scores=ranking.scores[np.isin(ranking.found, judged_items)],
        rel=judge(ranking.found, relevant, query, junk),
        total=count_relevant(relevant, query, junk),
    )


def _score_ranking(dataset: Dataset, judged: JudgedRanking, ks: Sequence[int]) -> QueryResult:
    query, rel, judged_items, scores = judged.query, judged.rel, judged.found, judged.scores
    metrics = score_query(rel, judged.total, ks)
    if dataset.spec.protocol == "groups-of-four":
        metrics["ns"] = ukbench_ns(rel)
    if dataset.spec.protocol == "revisited":
        metrics |= {f"mp@{k}": revisited_precision(rel, judged.total, k) for k in ks}
    ranks = np.flatnonzero(rel)
    first = int(ranks[0]) if ranks.size else None
    return QueryResult(
        query=dataset.items[query].id,
        label=dataset.items[query].label,
        unit=judged.unit,
        first_relevant=None if first is None else first + 1,
        first_relevant_id=None if first is None else dataset.items[int(judged_items[first])].id,
        first_relevant_score=None if first is None else round(float(scores[first]), 6),
        relevant=judged.total,
        relevant_places=(ranks[ranks < DEEP] + 1).tolist(),
        top_ids=[dataset.items[index].id for index in judged_items[:TOP].tolist()],
        top_scores=[round(float(value), 6) for value in scores[:TOP]],
        scores=metrics,
    )


def drop_query_and_junk(found: Indices, query: int, junk: Indices) -> Indices:
    """The ranking without the query and without junk: what `judge` judges, in its order."""
    return found[~np.isin(found, [query, *junk.tolist()])]


def find_duplicates(
    dataset: Dataset, digests: Sequence[str], pixels: Sequence[str] = ()
) -> list[Duplicate]:
    """Queries that the gallery holds under another id: finding that one is no achievement.

    digests, pixels: of each item's bytes and of the network's input; without `pixels`, only equal
    bytes are found. A query and itself, under its own id, are no duplicates.
    """
    holders = _gallery_by(dataset, pixels or digests)
    pairs = (
        Duplicate(
            dataset.items[query].id,
            dataset.items[other].id,
            "bytes" if digests[other] == digests[query] else "pixels",
        )
        for query in dataset.queries
        for other in holders.get((pixels or digests)[query], ())
        if other != query
    )
    return sorted(pairs, key=lambda pair: (pair.query, pair.gallery))


def find_gallery_copies(dataset: Dataset, pixels: Sequence[str]) -> list[list[str]]:
    """The ids of the gallery's images that the network can't tell apart, a list for each picture.

    pixels: of each item's network input; equal bytes have equal pixels.
    """
    groups = (
        sorted(dataset.items[index].id for index in group)
        for group in _gallery_by(dataset, pixels).values()
        if len(group) > 1
    )
    return sorted(groups)


def _gallery_by(dataset: Dataset, keys: Sequence[str]) -> dict[str, list[int]]:
    holders: dict[str, list[int]] = {}
    for index in dataset.gallery:
        holders.setdefault(keys[index], []).append(index)
    return holders


def chance_levels(dataset: Dataset, query_results: Sequence[QueryResult]) -> dict[str, float]:
    """What each metric's mean would be if the whole gallery were ranked at random.

    query_results: of queries of the dataset, at least one. Formulas are in `eval.chance`.
    """
    gallery = set(dataset.gallery)
    index_of = {dataset.items[query].id: query for query in dataset.queries}
    sizes = []
    for each in query_results:
        query = index_of[each.query]
        out = {query, *dataset.junk(query).tolist()} & gallery
        sizes.append((each.relevant, len(gallery) - len(out)))
    return {
        name: float(np.mean([chance(name, *size) for size in sizes]))
        for name in query_results[0].scores
    }
