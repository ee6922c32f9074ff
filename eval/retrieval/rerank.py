"""Re-ranking without training: of exact rankings, by the embeddings of gallery and query alone.

    rank_exactly -> Ranking -> rerank(method) -> Ranking without the query

Labels and the other queries are never looked at. A query is excluded by its id before anything is
taken from its neighbours; where it is in the gallery, `dba` and `diffusion` do as if it weren't,
and `kreciprocal` has it in its graph, as its authors have. What a gallery needs once is computed
before the first query, and timed apart. Positions are those of the gallery sorted by id, so that
ties go to the smaller id and the order of the files changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from bogv.embedding.query_expansion import expand_query
from bogv.records import Vectors
from eval.data.datasets import Dataset
from eval.errors import WorkbenchError
from eval.metrics import order
from eval.rerank.augmentation import augment
from eval.rerank.diffusion import diffuse
from eval.rerank.k_reciprocal import KReciprocalEncodings
from eval.rerank.neighbours import NeighbourLists
from eval.rerank.setting import (
    AlphaQueryExpansion,
    DatabaseAugmentation,
    Diffusion,
    KReciprocal,
    RerankMethod,
    parse_rerank,
)
from eval.retrieval.search import Backend, Ranking, id_ranks, rank_exactly, sort_by_id
from eval.vectors import Doubles, Indices, normalise


@dataclass
class Reranking:
    """A method, and what it costs, filled in while it runs."""

    method: RerankMethod
    gallery_seconds: float = 0.0
    """Once, for the gallery."""
    query_seconds: float = 0.0
    """For all queries, without the first search."""
    queries: int = 0
    bytes_per_vector: float = 0.0
    """Kept beside each vector of the gallery."""

    @property
    def seconds(self) -> dict[str, float | None]:
        """For run.json, to the microsecond."""
        per_query = self.query_seconds / max(1, self.queries)
        return {
            "rerank_gallery": round(self.gallery_seconds, 4),
            "rerank_per_query": round(per_query, 6),
        }


def reranking_of(setting: str, backend: Backend) -> Reranking | None:
    """The re-ranking of a setting; None for `none`.

    Raises WorkbenchError with Milvus, whose 1000 hits are not what the methods start from: they
    take all pairs of the gallery and order all of it.
    """
    method = parse_rerank(setting)
    if method is None:
        return None
    if backend != "exact":
        raise WorkbenchError(
            f"--rerank {setting} needs the whole ranking and the gallery's own neighbours: use"
            " --backend exact."
        )
    return Reranking(method)


@dataclass(frozen=True)
class _Gallery:
    """A gallery sorted by id."""

    dataset: Dataset
    vectors: Vectors
    """(items, d), of all items."""
    items: Indices
    """(m,): the item at each position."""
    position: Indices
    """(items,): each item's position; -1 outside the gallery."""
    ranks: Indices = field(repr=False)
    """(items,): the rank of each item's id."""

    @classmethod
    def of(cls, dataset: Dataset, vectors: Vectors) -> _Gallery:
        ranks = id_ranks(dataset)
        items = sort_by_id(dataset.gallery, ranks)
        position = np.full(len(ranks), -1, np.intp)
        position[items] = np.arange(len(items))
        return cls(dataset, vectors, items, position, ranks)

    def position_of(self, item: int) -> int | None:
        """None: not in the gallery."""
        return int(self.position[item]) if self.position[item] >= 0 else None

    def neighbours(self, k: int) -> NeighbourLists:
        """By exact search of the gallery with itself."""
        count = len(self.items)
        width = min(k + 1, count - 1)
        nodes, cosines = np.empty((count, width), np.int32), np.empty((count, width))
        itself = replace(self.dataset, queries=self.dataset.gallery)
        for ranking in rank_exactly(itself, self.vectors):
            row, others = self.position[ranking.query], without_query(ranking)
            nodes[row] = self.position[others.found[:width]]
            cosines[row] = others.scores[:width]
        return NeighbourLists(k, nodes, cosines)


def without_query(ranking: Ranking) -> Ranking:
    """The ranking without its query, which is taken out by its id."""
    others = ranking.found != ranking.query
    return Ranking(ranking.query, ranking.found[others], ranking.scores[others])


def rerank(dataset: Dataset, vectors: Vectors, reranking: Reranking) -> Iterator[Ranking]:
    """A re-ranked ranking of the whole gallery without the query, for each of the queries.

    vectors: (n, d) float32 of unit length, one for each item. Scores are the cosines that the
    images were searched by: of expanded queries (aqe), with augmented vectors (dba), else of the
    first search, in their new order.
    """
    gallery = _Gallery.of(dataset, vectors)
    methods: dict[type[RerankMethod], Callable[..., Iterator[Ranking]]] = {
        AlphaQueryExpansion: _search_expanded,
        DatabaseAugmentation: _search_augmented,
        KReciprocal: _rerank_by_encodings,
        Diffusion: _rerank_by_diffusion,
    }
    method = reranking.method
    yield from methods[type(method)](gallery, method, reranking)


# ------------------------------------------------------------------------------ alpha-QE


def _search_expanded(
    gallery: _Gallery, method: AlphaQueryExpansion, cost: Reranking
) -> Iterator[Ranking]:
    vectors = gallery.vectors
    expanded = np.array(vectors, np.float64)
    for ranking in rank_exactly(gallery.dataset, vectors):
        start = time.perf_counter()
        best = without_query(ranking)
        near = normalise(vectors[best.found[: method.n]])
        query, cosines = expanded[ranking.query], best.scores[: method.n]
        expanded[ranking.query] = expand_query(query, near, cosines, method.alpha)
        cost.query_seconds += time.perf_counter() - start
        cost.queries += 1
    again = rank_exactly(gallery.dataset, vectors, asked=expanded)
    start = time.perf_counter()
    for ranking in again:
        cost.query_seconds += time.perf_counter() - start
        yield without_query(ranking)
        start = time.perf_counter()


# ------------------------------------------------------------------------------ DBA


def _search_augmented(
    gallery: _Gallery, method: DatabaseAugmentation, cost: Reranking
) -> Iterator[Ranking]:
    """A query's own place in the lists of others is corrected query by query; that is no cost, as
    a gallery that doesn't have the query needs no such correction."""
    start = time.perf_counter()
    lists = gallery.neighbours(method.n)
    vectors = normalise(gallery.vectors[gallery.items])
    augmented = gallery.vectors.copy()
    for row in range(len(gallery.items) if method.n else 0):
        augmented[gallery.items[row]] = augment(np.array([row]), vectors, lists)[0]
    cost.gallery_seconds = time.perf_counter() - start
    for ranking in rank_exactly(gallery.dataset, augmented, asked=gallery.vectors):
        cost.queries += 1
        yield without_query(_correct_augmented(gallery, ranking, vectors, lists))


def _correct_augmented(
    gallery: _Gallery, ranking: Ranking, vectors: Doubles, lists: NeighbourLists
) -> Ranking:
    """The ranking as it is where the query is no neighbour of what it searches."""
    query = gallery.position_of(ranking.query)
    rows = np.flatnonzero((lists.nodes[:, : lists.k] == query).any(axis=1))
    if query is None or not rows.size:
        return ranking
    scores = np.empty(len(gallery.items))
    scores[gallery.position[ranking.found]] = ranking.scores
    asked = normalise(gallery.vectors[[ranking.query]])[0]
    scores[rows] = normalise(augment(rows, vectors, lists, query)) @ asked
    best = order(scores, gallery.ranks[gallery.items])
    return Ranking(ranking.query, gallery.items[best], scores[best])


# ------------------------------------------------------------------------------ k-reciprocal


def _rerank_by_encodings(
    gallery: _Gallery, method: KReciprocal, cost: Reranking
) -> Iterator[Ranking]:
    start = time.perf_counter()
    lists = gallery.neighbours(max(method.k1, method.k2))
    encodings = KReciprocalEncodings(
        lists.nodes, lists.cosines, normalise(gallery.vectors[gallery.items]), method
    )
    cost.bytes_per_vector = encodings.bytes_per_vector
    cost.gallery_seconds = time.perf_counter() - start
    for ranking in rank_exactly(gallery.dataset, gallery.vectors):
        start = time.perf_counter()
        others = without_query(ranking)
        nodes = gallery.position[others.found]
        distances = encodings.distances(nodes, others.scores, gallery.position_of(ranking.query))
        best = order(-distances, gallery.ranks[others.found])
        cost.query_seconds += time.perf_counter() - start
        cost.queries += 1
        yield Ranking(ranking.query, others.found[best], others.scores[best])


# ------------------------------------------------------------------------------ diffusion


def _rerank_by_diffusion(
    gallery: _Gallery, method: Diffusion, cost: Reranking
) -> Iterator[Ranking]:
    start = time.perf_counter()
    lists = gallery.neighbours(method.k)
    cost.bytes_per_vector = lists.bytes_per_vector
    cost.gallery_seconds = time.perf_counter() - start
    for ranking in rank_exactly(gallery.dataset, gallery.vectors):
        start = time.perf_counter()
        others = without_query(ranking)
        top = min(method.top, len(others.found))
        nodes, query = gallery.position[others.found[:top]], gallery.position_of(ranking.query)
        found = diffuse(nodes, others.scores[:top], lists, method, query)
        # Stable: ties, such as what nothing has reached, stay in the order of the ranking.
        best = np.concatenate(
            [np.argsort(-found, kind="stable"), np.arange(top, len(others.found))]
        )
        cost.query_seconds += time.perf_counter() - start
        cost.queries += 1
        yield Ranking(ranking.query, others.found[best], others.scores[best])
