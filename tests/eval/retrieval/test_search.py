from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bogv.records import Vectors
from bogv.storage.milvus import MilvusStore
from eval.errors import WorkbenchError
from eval.retrieval import search
from eval.retrieval.search import check_ranking_depth, rank_exactly, rank_in_milvus, ranking_depth
from eval.selftest import made_up
from tests.support.running import ROOT


def unit(rows: Sequence[Sequence[float]] | np.typing.NDArray[np.float64]) -> Vectors:
    vectors = np.asarray(rows, np.float32)
    lengths: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return lengths


def spread(count: int, dimension: int = 32) -> Vectors:
    return unit(np.abs(np.random.default_rng(1).normal(size=(count, dimension))))


def test_the_nearest_come_first_and_the_query_is_still_there() -> None:
    vectors = unit([[1, 0], [0, 1], [4, 1], [1, 4]])
    first = next(iter(rank_exactly(made_up(["a"] * 4), vectors)))
    assert (first.query, first.found.tolist()) == (0, [0, 2, 3, 1])
    assert first.scores[0] == pytest.approx(1)
    assert first.scores[1] == pytest.approx(4 / 17**0.5)


def test_what_float32_takes_for_a_tie_is_told_apart() -> None:
    vectors = np.array([[1, 0], [1, 2e-4], [1, 1e-4]], np.float32)  # cosines 1 - 2e-8, 1 - 5e-9
    first = next(iter(rank_exactly(made_up(["a"] * 3), vectors)))
    assert first.found.tolist() == [0, 2, 1]


def test_an_embedding_of_nothing_but_zeros_is_like_no_other() -> None:
    vectors = np.array([[1, 0], [0, 0], [1, 1]], np.float32)
    first = next(iter(rank_exactly(made_up(["a"] * 3), vectors)))
    assert first.found.tolist() == [0, 2, 1]
    assert first.scores[2] == 0


def test_only_the_gallery_is_found_and_only_queries_search() -> None:
    dataset = made_up(["a"] * 6, queries=[1, 4], gallery=[0, 2, 5])
    rankings = list(rank_exactly(dataset, spread(6)))
    assert [ranking.query for ranking in rankings] == [1, 4]
    assert all(sorted(ranking.found.tolist()) == [0, 2, 5] for ranking in rankings)


def test_ties_of_equal_embeddings_are_broken_by_id() -> None:
    vectors = spread(301)
    vectors[[7, 130, 299]] = vectors[50]
    first = next(iter(rank_exactly(made_up(["a"] * 301), vectors)))
    positions = [first.found.tolist().index(index) for index in (7, 50, 130, 299)]
    assert positions == list(range(positions[0], positions[0] + 4))
    assert len({float(first.scores[position]) for position in positions}) == 1


def test_the_order_of_the_files_changes_nothing_to_the_last_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset, vectors = made_up(["a"] * 90), spread(90)
    monkeypatch.setattr(search, "CELLS", 90 * 7)  # several chunks, the last one shorter
    shuffled = np.random.default_rng(2).permutation(90)
    other = replace(dataset, items=[dataset.items[index] for index in shuffled])
    for before, after in zip(
        rank_exactly(dataset, vectors), rank_exactly(other, vectors[shuffled]), strict=True
    ):
        assert before.query == shuffled[after.query]
        assert before.found.tolist() == shuffled[after.found].tolist()
        assert before.scores.tobytes() == after.scores.tobytes()


def test_milvus_finds_what_exact_search_finds() -> None:
    vectors = spread(60)
    vectors[9] = vectors[3]
    dataset = made_up(["a"] * 60, queries=list(range(12)), gallery=list(range(60)))
    for one, other in zip(
        rank_exactly(dataset, vectors), rank_in_milvus(dataset, vectors, "f"), strict=True
    ):
        assert one.query == other.query
        assert one.found.tolist() == other.found.tolist()
        assert np.allclose(one.scores, other.scores, atol=1e-5)


def test_milvus_answers_from_its_index_and_not_while_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Milvus Lite compares row by row until its index is there: what is measured is the index."""
    steps: list[str] = []
    for owner, name in (
        (MilvusStore, "put"),
        (search, "rebuild_index"),
        (MilvusStore, "search"),
    ):
        method = getattr(owner, name)

        def noted(*args: Any, name: str = name, method: Any = method) -> Any:
            steps.append(name)
            return method(*args)

        monkeypatch.setattr(owner, name, noted)
    dataset = made_up(["a"] * 8, queries=[0, 1], gallery=list(range(8)))
    assert len(list(rank_in_milvus(dataset, spread(8), "f"))) == 2
    assert steps == ["put", "rebuild_index", "search", "search"]


def test_faiss_is_loaded_for_one_thread_and_nothing_else_is() -> None:
    """In a process of its own: what is loaded once stays."""
    script = (
        "import os; from eval.retrieval.search import load_faiss_for_one_thread as load; load();"
        "import faiss; print(faiss.omp_get_max_threads(), os.environ.get('OMP_NUM_THREADS'))"
    )
    for given, left in ({}, "None"), ({"OMP_NUM_THREADS": "3"}, "3"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", **given},
        )
        assert done.stdout.split() == ["1", left]


def test_milvus_stops_at_its_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_LIMIT", 5)
    dataset, vectors = made_up(["a"] * 8), spread(8)
    for one, other in zip(
        rank_exactly(dataset, vectors), rank_in_milvus(dataset, vectors, "f"), strict=True
    ):
        assert one.found.tolist()[:5] == other.found.tolist()
    assert ranking_depth("milvus", 8) == 5
    assert ranking_depth("milvus", 3) == 3
    assert ranking_depth("exact", 8) is None


def test_a_k_that_milvus_cannot_reach_is_refused() -> None:
    check_ranking_depth("milvus", 999)
    check_ranking_depth("exact", 5000)
    with pytest.raises(WorkbenchError, match=r"at most 1000 hits.*k = 1000"):
        check_ranking_depth("milvus", 1000)
