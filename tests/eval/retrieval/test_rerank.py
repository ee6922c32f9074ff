from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bogv.records import Vectors
from bogv.storage.milvus import MilvusStore
from eval.data.datasets import Dataset
from eval.errors import WorkbenchError
from eval.retrieval.rerank import Reranking, rerank, reranking_of, without_query
from eval.retrieval.search import Ranking, rank_exactly
from eval.selftest import made_up
from tests.support.fakes import fake_search, png
from tests.support.galleries import fill

METHODS = ("aqe:n=3", "dba:n=3", "kreciprocal:k1=5,k2=3", "diffusion:k=4,kq=3,top=12")
NEUTRAL = ("aqe:n=0", "dba:n=0", "kreciprocal:lambda=1", "diffusion:k=0", "diffusion:alpha=0")


def spread(count: int, seed: int = 1, dimension: int = 16) -> Vectors:
    rows = np.abs(np.random.default_rng(seed).normal(size=(count, dimension)))
    found: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def made(text: str) -> Reranking:
    found = reranking_of(text, "exact")
    assert found is not None
    return found


def reranked(dataset: Dataset, vectors: Vectors, text: str) -> list[Ranking]:
    return list(rerank(dataset, vectors, made(text)))


@settings(max_examples=30, deadline=None)
@given(
    text=st.sampled_from([*METHODS, *NEUTRAL]),
    count=st.integers(2, 24),
    seed=st.integers(0, 99),
    apart=st.booleans(),
)
def test_a_ranking_stays_a_permutation_without_its_query(
    text: str, count: int, seed: int, apart: bool
) -> None:
    dataset = made_up(["a"] * count)
    if apart:
        half = count // 2
        dataset = made_up(
            ["a"] * count, queries=list(range(half)), gallery=list(range(half, count))
        )
    found = reranked(dataset, spread(count, seed), text)
    assert [each.query for each in found] == sorted(dataset.queries)
    for each in found:
        assert sorted(each.found.tolist()) == sorted(set(dataset.gallery) - {each.query})
        assert len(each.scores) == len(each.found)
        assert np.isfinite(each.scores).all()


@pytest.mark.parametrize("text", NEUTRAL)
def test_what_has_nothing_to_work_with_changes_nothing(text: str) -> None:
    dataset, vectors = made_up(["a"] * 40), spread(40)
    vectors[[9, 30]] = vectors[4]
    for before, after in zip(
        rank_exactly(dataset, vectors), reranked(dataset, vectors, text), strict=True
    ):
        assert without_query(before).found.tolist() == after.found.tolist()


@pytest.mark.parametrize("text", METHODS)
def test_each_method_changes_something(text: str) -> None:
    dataset, vectors = made_up(["a"] * 40), spread(40)
    plain = [without_query(each).found.tolist() for each in rank_exactly(dataset, vectors)]
    assert plain != [each.found.tolist() for each in reranked(dataset, vectors, text)]


@pytest.mark.parametrize("text", METHODS)
def test_the_order_of_the_files_changes_nothing_to_the_last_bit(text: str) -> None:
    dataset, vectors = made_up(["a"] * 50), spread(50)
    shuffled = np.random.default_rng(2).permutation(50)
    other = replace(dataset, items=[dataset.items[index] for index in shuffled])
    for before, after in zip(
        reranked(dataset, vectors, text), reranked(other, vectors[shuffled], text), strict=True
    ):
        assert before.query == shuffled[after.query]
        assert before.found.tolist() == shuffled[after.found].tolist()
        assert before.scores.tobytes() == after.scores.tobytes()


@pytest.mark.parametrize("text", ["aqe:n=3", "dba:n=3", "diffusion:k=4,kq=3,top=12"])
def test_a_query_in_the_gallery_finds_what_it_finds_outside(text: str) -> None:
    """Left out by its id, it is no neighbour of its own, nor of what it searches."""
    vectors = spread(30)
    inside = reranked(made_up(["a"] * 30), vectors, text)
    for query in (0, 11, 29):
        others = [index for index in range(30) if index != query]
        dataset = made_up(["a"] * 30, queries=[query], gallery=others)
        [outside] = reranked(dataset, vectors, text)
        assert inside[query].found.tolist() == outside.found.tolist()
        assert inside[query].scores == pytest.approx(outside.scores, abs=1e-7)


@pytest.mark.parametrize("text", METHODS)
def test_other_queries_and_labels_have_no_influence(text: str) -> None:
    vectors = spread(40)
    gallery = list(range(10, 40))
    one = made_up(["a"] * 40, queries=[3], gallery=gallery)
    all_ten = made_up([str(n % 3) for n in range(40)], queries=list(range(10)), gallery=gallery)
    [alone] = reranked(one, vectors, text)
    among = reranked(all_ten, vectors, text)[3]
    assert alone.found.tolist() == among.found.tolist()


def test_the_service_with_query_expansion_finds_the_same(tmp_path: Path) -> None:
    """The scores of BOGV_QUERY_EXPANSION=5, of images of the gallery and of one from outside."""
    with closing(
        fake_search(MilvusStore.lite(tmp_path, "images"), tmp_path, query_expansion=5)
    ) as search:
        added = sorted(fill(search, 40))
        outside = search.embedder.embed(search.decoder.decode(png(99)).pixels[np.newaxis])
        vectors = np.concatenate([[search._store.vector(each) for each in added], outside])
        similar = [search.similar(each, 39).hits for each in added]
        found = [*similar, search.search(png(99), 40).hits]
    dataset = made_up(["a"] * 41, gallery=list(range(40)))
    for ranking, hits in zip(reranked(dataset, vectors, "aqe:n=5"), found, strict=True):
        assert [added[each] for each in ranking.found.tolist()] == [hit.record.id for hit in hits]
        assert ranking.scores == pytest.approx([hit.score for hit in hits], abs=1e-5)


def test_what_is_near_the_nearest_comes_before_what_is_not() -> None:
    """b is next to a; c and d are as far from a, but only c is near b."""
    rows = np.array([[1, 0, 0], [0.9, 0.436, 0], [0.6, 0.8, 0], [0.61, 0, 0.79]])
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    dataset = made_up(["a"] * 4, queries=[0], gallery=[1, 2, 3])
    [plain] = rank_exactly(dataset, vectors)
    assert plain.found.tolist() == [1, 3, 2]
    for text in ("aqe:n=1,alpha=1", "diffusion:k=1,kq=1", "kreciprocal:k1=1,k2=1"):
        [found] = reranked(dataset, vectors, text)
        assert found.found.tolist() == [1, 2, 3]


def test_its_cost_is_counted() -> None:
    dataset, vectors = made_up(["a"] * 20), spread(20)
    for text in METHODS:
        reranking = made(text)
        assert len(list(rerank(dataset, vectors, reranking))) == reranking.queries == 20
        seconds = reranking.seconds
        assert set(seconds) == {"rerank_gallery", "rerank_per_query"}
        assert (reranking.gallery_seconds > 0) == (not text.startswith("aqe"))
        assert (reranking.query_seconds > 0) == (not text.startswith("dba"))
    assert made("dba").bytes_per_vector == 0
    assert reranking.bytes_per_vector == 4 * (4 + 8)


def test_milvus_is_refused() -> None:
    assert reranking_of("none", "milvus") is None
    with pytest.raises(WorkbenchError, match="use --backend exact"):
        reranking_of("aqe", "milvus")
