"""Rankings of the gallery for each query, by exact search or by bogv's Milvus store.

`rank_exactly` ranks the whole gallery. `rank_in_milvus` ranks as the service does: at most the
nearest 1000, from bogv's index, in a gallery in a temporary folder.

Ties are broken by the item's id, as text, so the order of the files has no influence.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bogv.records import Vectors
from bogv.service import MAX_LIMIT
from bogv.storage.maintenance import rebuild_index
from bogv.storage.milvus import MilvusStore
from eval.data.datasets import Dataset
from eval.errors import WorkbenchError
from eval.harness.galleries import ROWS, rows_of, synthetic_record
from eval.metrics import order
from eval.vectors import Indices, distinct, normalise

Backend = Literal["exact", "milvus"]
Scores = NDArray[np.float64]

CELLS = 1 << 23
"""Scores in memory at once, 8 bytes each."""


@dataclass(frozen=True)
class Ranking:
    """What one query found, best first. The query itself and junk are still in it."""

    query: int
    """Index into the dataset's items."""
    found: Indices
    """Indices into the dataset's items."""
    scores: Scores
    """Cosine similarity of each."""


def rank(
    dataset: Dataset, vectors: Vectors, backend: Backend, fingerprint: str
) -> Iterator[Ranking]:
    """A ranking for each of the dataset's queries, ordered by the queries' ids.

    vectors: (n, dimension) float32 of unit length, one for each item. fingerprint: of the weights.
    """
    if backend == "exact":
        return rank_exactly(dataset, vectors)
    return rank_in_milvus(dataset, vectors, fingerprint)


def ranking_depth(backend: Backend, gallery: int) -> int | None:
    """The maximum length of a ranking, including the query; None: the whole gallery."""
    return min(MAX_LIMIT, gallery) if backend == "milvus" else None


def check_ranking_depth(backend: Backend, k: int) -> None:
    """Raises WorkbenchError for a k that exceeds the backend's rankings without the query."""
    if backend == "milvus" and k >= MAX_LIMIT:
        raise WorkbenchError(
            f"Milvus returns at most {MAX_LIMIT} hits, including the query: k = {k} is too large."
            f" Use --backend exact, or a k below {MAX_LIMIT}."
        )


def rank_exactly(
    dataset: Dataset, vectors: Vectors, *, asked: Vectors | Scores | None = None
) -> Iterator[Ranking]:
    """Rank the whole gallery, by the cosines of all pairs in double precision.

    asked: (n, dimension), what the items search with as queries; None: `vectors`.

    Double, because cosines are close together: with untrained weights, those of the dataset
    `clothing` are between 0.991 and 1, and float32 products, with errors of 6e-7, changed the top
    eleven of 32 of its 372 queries.

    A product's last bit depends on its position in the matrix. Hence equal embeddings are scored
    once, so that duplicates tie, and rows and columns are sorted by id, so that the scores don't
    depend on the order of the files.
    """
    rows_asked = vectors if asked is None else asked
    ranks = id_ranks(dataset)
    queries, gallery = sort_by_id(dataset.queries, ranks), sort_by_id(dataset.gallery, ranks)
    different, which = distinct(vectors[gallery])
    columns = normalise(different).T
    rows = max(1, CELLS // max(1, len(gallery)))
    for start in range(0, len(queries), rows):
        chunk = queries[start : start + rows]
        cosines = (
            normalise(rows_asked[chunk]) @ columns
        )  # (rows, d) x (d, distinct) -> (rows, distinct)
        for query, row in zip(chunk.tolist(), cosines, strict=True):
            scores = row[which]
            best = order(scores, ranks[gallery])
            yield Ranking(query, gallery[best], scores[best])


def load_faiss_for_one_thread() -> None:
    """Load faiss so that Milvus Lite builds its index with one thread, which is deterministic.

    With several threads, the order of insertion varies, and so do some of 1000 neighbours. faiss
    reads the variable when it is loaded; if it is loaded already, this has no effect.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        importlib.import_module("faiss")
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def rank_in_milvus(dataset: Dataset, vectors: Vectors, fingerprint: str) -> Iterator[Ranking]:
    """Rank at most the nearest 1000, with the store's put and search, by Milvus Lite's index."""
    ranks = id_ranks(dataset)
    queries, gallery = sort_by_id(dataset.queries, ranks), sort_by_id(dataset.gallery, ranks)
    limit = ranking_depth("milvus", len(gallery)) or 1
    with (
        tempfile.TemporaryDirectory(prefix="bogv-eval-") as folder,
        closing(MilvusStore.lite(Path(folder), "eval")) as store,
    ):
        store.open(fingerprint, vectors.shape[1])
        for start in range(0, len(gallery), ROWS):
            part = gallery[start : start + ROWS]
            # The store breaks ties by id, so its ids follow the order of the items' ids.
            store.put([synthetic_record(number) for number in ranks[part].tolist()], vectors[part])
        # Until the index is complete, Milvus searches without it.
        rebuild_index(store)
        at = np.empty(len(ranks), np.intp)  # rank -> index
        at[ranks] = np.arange(len(ranks))
        for query in queries.tolist():
            hits = store.search(vectors[query], limit)
            found = at[rows_of(hits)]
            yield Ranking(query, found, np.array([hit.score for hit in hits]))


def id_ranks(dataset: Dataset) -> Indices:
    """(n,): each item's rank among all ids, sorted as text; compares faster than the ids."""
    names = np.array([item.id for item in dataset.items])
    ranks = np.empty(len(names), np.intp)
    ranks[np.argsort(names)] = np.arange(len(names))
    return ranks


def sort_by_id(indices: list[int], ranks: Indices) -> Indices:
    """The indices, ordered by their items' ids."""
    array = np.array(indices, np.intp)
    ordered: Indices = array[np.argsort(ranks[array])]
    return ordered
