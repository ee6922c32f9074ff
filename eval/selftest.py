"""Canaries: synthetic embeddings with known scores, run through the workbench's search and scoring.
If one fails, the figures of real runs can't be trusted.

They need no weights and no internet connection, and take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bogv.records import Vectors
from eval.data.catalogue import Spec
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding.embed import Embedded
from eval.retrieval.measure import search_and_score
from eval.retrieval.scoring import QueryResult, find_duplicates
from eval.retrieval.search import Backend

SEED = 0
CLASSES, EACH = 20, 15
KS = [1, 5, 10]


@dataclass(frozen=True)
class Canary:
    """The outcome of one canary; `alive`: it passed."""

    name: str
    alive: bool
    detail: str


def selftest() -> list[Canary]:
    """Run all canaries; one that raises has failed too."""
    return [
        _run_guarded(canary) for canary in (perfect, perfect_in_milvus, random, self_match, leak)
    ]


def perfect() -> Canary:
    """If all images of a class share an embedding of their own, every metric is at its maximum."""
    return _perfect("perfect embeddings", "exact", CLASSES)


def perfect_in_milvus() -> Canary:
    """As `perfect`, but through Milvus Lite, with fewer classes because it is slower."""
    return _perfect("perfect embeddings in Milvus", "milvus", 4)


def random() -> Canary:
    """With random embeddings, precision@10 is at chance: others of the class / all others.

    The top k ranks of n queries are n * k draws. They aren't independent, because queries share
    neighbours: hence a tolerance of five standard deviations of independent draws.
    """
    labels = _labels()
    vectors = np.random.default_rng(SEED).normal(size=(len(labels), 64))
    query_results = _query_results(made_up(labels), vectors)
    value = _mean(query_results, "precision@10")
    chance = (EACH - 1) / (len(labels) - 1)
    allowed = 5 * float(np.sqrt(chance * (1 - chance) / (10 * len(labels))))
    return Canary(
        "random embeddings",
        abs(value - chance) <= allowed,
        f"precision@10 is {value:.3f}; chance is {chance:.3f} ± {allowed:.3f}",
    )


def self_match() -> Canary:
    """Pairs of equal embeddings, half of them of one label: hit_rate@1 is exactly one half.

    If the query were kept in, the first of each pair would find itself first: 0.25 if that counts
    as wrong, 0.75 if it counts as right. If the first rank were removed instead of the query's id,
    the second of each pair would find itself: 0.25.
    """
    labels, rows = [], []
    for pair in range(40):
        same = pair % 2 == 0
        # The images relevant to a "wrong" pair have other embeddings: those of the next such pair.
        labels += [f"right {pair}"] * 2 if same else [f"left {pair // 4}", f"other {pair // 4}"]
        rows += [np.eye(40)[pair]] * 2
    value = _mean(_query_results(made_up(labels), np.array(rows)), "hit_rate@1")
    return Canary(
        "the query never finds itself",
        value == 0.5,
        f"hit_rate@1 is {value:.3f}; with the query removed by its id it is 0.500",
    )


def leak() -> Canary:
    """Exactly the three queries whose bytes are in the gallery under another id are reported."""
    labels = ["cat", "dog", "cow", "hen"] * 10
    digests = [f"bytes {index}" for index in range(40)]
    queries, gallery = list(range(20)), list(range(20, 40))
    planted = {(0, 20), (7, 33), (19, 39)}
    for query, copy in planted:
        digests[copy] = digests[query]
    found = find_duplicates(made_up(labels, queries, gallery), digests)
    named = {(int(pair.query), int(pair.gallery)) for pair in found}
    return Canary(
        "duplicates between query and gallery",
        named == planted,
        f"{len(named & planted)} of {len(planted)} planted leaks are found,"
        f" and {len(named - planted)} false ones",
    )


def made_up(
    labels: Sequence[str], queries: list[int] | None = None, gallery: list[int] | None = None
) -> Dataset:
    """A dataset without images; by default each item searches all others."""
    spec = Spec.model_validate(
        {
            "id": "made-up",
            "name": "Made up",
            "kind": "category",
            "source": {"type": "scikit-learn", "loader": "load_digits"},
            "licence": "none",
            "terms": "none",
            "protocol": "leave-one-out" if queries is None else "query-gallery",
            "headline": "hit_rate@1",
            "overlaps_imagenet": "none",
            "tier": "smoke",
            "citation": "none",
        }
    )
    items = [Item(f"{index:04}", label, bytes) for index, label in enumerate(labels)]
    everyone = list(range(len(items)))
    return Dataset(
        spec,
        None,
        items,
        everyone if queries is None else queries,
        everyone if gallery is None else gallery,
    )


def _perfect(name: str, backend: Backend, classes: int) -> Canary:
    labels = _labels(classes)
    vectors = np.repeat(np.eye(classes), EACH, axis=0)
    query_results = _query_results(made_up(labels), vectors, backend)
    # Of 14 relevant images, the top 1, 5 and 10 ranks hold 1/14, 5/14 and 10/14.
    best = {f"recall@{k}": k / (EACH - 1) for k in KS}
    names = query_results[0].scores
    short = [
        f"{metric} {_mean(query_results, metric):.3f}"
        for metric in names
        if not np.isclose(_mean(query_results, metric), best.get(metric, 1.0), rtol=0, atol=1e-12)
    ]
    complete = len(query_results) == len(labels)
    detail = (
        f"{len(names)} metrics are at their best" if not short else f"short: {', '.join(short)}"
    )
    return Canary(
        name, complete and not short, f"{detail}, {len(query_results)} of {len(labels)} scored"
    )


def _labels(classes: int = CLASSES) -> list[str]:
    return [f"class {number:02}" for number in range(classes) for _ in range(EACH)]


def _query_results(
    dataset: Dataset, vectors: np.typing.ArrayLike, backend: Backend = "exact"
) -> list[QueryResult]:
    rows: Vectors = np.asarray(vectors, np.float32)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    embedded = Embedded(rows, [item.id for item in dataset.items])
    return search_and_score(dataset, embedded, backend, KS, "canary", progress=False)


def _mean(query_results: Sequence[QueryResult], metric: str) -> float:
    return float(np.mean([each.scores[metric] for each in query_results]))


def _run_guarded(canary: Callable[[], Canary]) -> Canary:
    try:
        return canary()
    except Exception as error:  # noqa: BLE001 - whatever it raises, the other canaries still run
        return Canary(canary.__name__, alive=False, detail=f"{type(error).__name__}: {error}")
