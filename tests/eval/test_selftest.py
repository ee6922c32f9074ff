from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from eval import selftest
from eval.data.datasets import Dataset
from eval.metrics import Ids, Relevance, judge
from eval.retrieval import scoring
from eval.retrieval import search as searching
from eval.retrieval.search import Ranking

Rankings = Callable[..., Iterator[Ranking]]


def test_all_canaries_live() -> None:
    canaries = selftest.selftest()
    assert [canary.name for canary in canaries if not canary.alive] == []
    assert len(canaries) == 5


@pytest.mark.parametrize("name", ["rank_exactly", "rank_in_milvus"])
def test_a_search_that_gives_the_worst_first_kills_the_perfect_canary(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    search: Rankings = getattr(searching, name)

    def backwards(*arguments: Any) -> Iterator[Ranking]:
        for ranking in search(*arguments):
            yield Ranking(ranking.query, ranking.found[::-1], ranking.scores[::-1])

    monkeypatch.setattr(searching, name, backwards)
    canary = selftest.perfect() if name == "rank_exactly" else selftest.perfect_in_milvus()
    assert not canary.alive
    assert "hit_rate@1 0.000" in canary.detail


def test_an_unscored_query_fails_the_perfect_canary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    search: Rankings = searching.rank_exactly

    def lossy(*arguments: Any) -> Iterator[Ranking]:
        yield from list(search(*arguments))[1:]

    monkeypatch.setattr(searching, "rank_exactly", lossy)
    assert not selftest.perfect().alive


def test_scores_that_know_the_answer_kill_the_random_canary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def oracle(ranked: Ids, relevant: Ids, query_id: int | None, junk: Ids = ()) -> Relevance:
        return np.sort(judge(ranked, relevant, query_id, junk))[::-1]

    monkeypatch.setattr(scoring, "judge", oracle)
    assert not selftest.random().alive


def _left_in_as_wrong(ranked: Ids, relevant: Ids, query_id: int, junk: Ids = ()) -> Relevance:
    return judge(ranked, relevant, None, junk)


def _left_in_as_right(ranked: Ids, relevant: Ids, query_id: int, junk: Ids = ()) -> Relevance:
    # One too many is right now; the last of them gives up its place, or its score is refused.
    rel = judge(ranked, [*relevant, query_id], None, junk)
    rel[np.flatnonzero(rel)[-1:]] = False
    return rel


def _taken_out_by_rank(ranked: Ids, relevant: Ids, query_id: int, junk: Ids = ()) -> Relevance:
    return judge(ranked, relevant, None, junk)[1:]


@pytest.mark.parametrize(
    ("leaky", "expected"),
    [(_left_in_as_wrong, "0.250"), (_left_in_as_right, "0.750"), (_taken_out_by_rank, "0.250")],
)
def test_a_query_that_finds_itself_kills_its_canary(
    monkeypatch: pytest.MonkeyPatch, leaky: Callable[..., Relevance], expected: str
) -> None:
    monkeypatch.setattr(scoring, "judge", leaky)
    monkeypatch.setattr(scoring, "drop_query_and_junk", lambda found, *_: found)
    canary = selftest.self_match()
    assert not canary.alive
    assert f"hit_rate@1 is {expected};" in canary.detail


def test_an_undetected_leak_fails_its_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scoring.find_duplicates
    monkeypatch.setattr(selftest, "find_duplicates", lambda *a: found(*a)[1:])
    canary = selftest.leak()
    assert not canary.alive
    assert "2 of 3 planted leaks" in canary.detail


def test_a_false_leak_fails_its_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    def same_label(dataset: Dataset, _: list[str]) -> list[scoring.Duplicate]:
        return scoring.find_duplicates(dataset, [str(item.label) for item in dataset.items])

    monkeypatch.setattr(selftest, "find_duplicates", same_label)
    assert not selftest.leak().alive


def test_a_canary_that_raises_fails_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Iterator[Ranking]:
        raise ValueError("no search today")

    monkeypatch.setattr(searching, "rank_exactly", broken)
    canaries = selftest.selftest()
    dead = [canary.name for canary in canaries if not canary.alive]
    assert dead == ["perfect", "random", "self_match"]
    assert canaries[0].detail == "ValueError: no search today"
