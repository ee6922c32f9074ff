from __future__ import annotations

import doctest
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import metrics
from eval.metrics import (
    Relevance,
    ann_recall,
    ann_recall_ties,
    average_precision,
    average_precision_trapezoid,
    count_relevant,
    graded_ndcg,
    hit_rate,
    judge,
    map_at_r,
    ndcg,
    order,
    precision,
    r_precision,
    recall,
    reciprocal_rank,
    revisited_precision,
    score_query,
    ukbench_ns,
)
from tests.eval.support.metrics import Judged, judged, places


def rel(*values: int) -> Relevance:
    return np.array(values, dtype=bool)


small_ids = st.lists(st.integers(0, 60), unique=True, min_size=1, max_size=25)


def test_the_examples_in_the_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(metrics)
    assert failed == 0
    assert tried > 15


@pytest.mark.parametrize(
    ("ranking", "total", "expected"),
    [
        (
            rel(0, 1, 1, 0, 1),
            3,
            {
                "hit_rate@3": 1,
                "recall@3": 2 / 3,
                "precision@3": 2 / 3,
                "ndcg@3": 0.5307212739772434,  # (0.63092975 + 0.5) / (1 + 0.63092975 + 0.5)
                "r_precision": 2 / 3,
                "map": 0.5888888888888889,  # (1/2 + 2/3 + 3/5) / 3
                "map_trapezoid": 0.4611111111111111,  # (1/4 + 7/12 + 11/20) / 3
                "map@r": 0.3888888888888889,  # (1/2 + 2/3) / 3
                "mrr": 1 / 2,
            },
        ),
        (  # cut after three; two of the four relevant images are not ranked
            rel(1, 0, 1),
            4,
            {
                "hit_rate@3": 1,
                "recall@3": 1 / 2,
                "precision@3": 2 / 3,
                "ndcg@3": 0.7039180890341347,  # (1 + 0.5) / (1 + 0.63092975 + 0.5)
                "r_precision": 1 / 2,
                "map": 0.4166666666666667,  # (1 + 2/3) / 4
                "map_trapezoid": 0.3958333333333333,  # (1 + 7/12) / 4
                "map@r": 0.4166666666666667,
                "mrr": 1,
            },
        ),
        (
            rel(),
            1,
            dict.fromkeys(score_query(rel(), 1, ks=[3]), 0),
        ),
    ],
    ids=["all found", "cut short", "nothing ranked"],
)
def test_values_worked_by_hand(ranking: Relevance, total: int, expected: dict[str, float]) -> None:
    scores = score_query(ranking, total, ks=[3])
    assert scores == pytest.approx(expected, abs=1e-12)
    assert scores.keys() == expected.keys()


def test_no_two_kinds_of_recall_share_a_name() -> None:
    scores = score_query(rel(1, 0, 0), total=4, ks=[1])
    assert scores["hit_rate@1"] == 1
    assert scores["recall@1"] == 0.25
    assert not any(name.startswith("recall") and name != "recall@1" for name in scores)


def test_precision_is_over_k_places_even_where_fewer_are_ranked() -> None:
    assert precision(rel(1, 1), 10) == 0.2


@pytest.mark.parametrize(
    ("ranking", "score"),
    [(rel(), 1), (rel(0, 0, 0, 1), 1), (rel(1, 0, 1, 1), 3), (rel(1, 1, 1), 4)],
)
def test_ukbench_counts_the_query_and_three_places_after_it(
    ranking: Relevance, score: float
) -> None:
    assert ukbench_ns(ranking) == score


@pytest.mark.parametrize(
    ("k", "value"),
    # Relevant at ranks 1, 3 and 4, one more not ranked or not there.
    [(1, 1.0), (2, 0.5), (3, 2 / 3), (4, 0.75), (10, 0.75)],
)
def test_revisited_precision_ends_at_the_last_relevant_image(k: int, value: float) -> None:
    ranking = np.array([1, 0, 1, 1, 0, 0], dtype=bool)
    assert revisited_precision(ranking, 3, k) == pytest.approx(value)
    assert revisited_precision(ranking, 4, k) == pytest.approx(min(value, 3 / k))


def test_ann_recall_minds_no_order() -> None:
    assert ann_recall([3, 2, 1], [1, 2, 3]) == 1
    assert ann_recall(["a", "x"], ["a", "b"]) == 0.5
    assert ann_recall([], [1, 2]) == 0
    assert ann_recall([1], [1, 2]) == 0.5


def test_ties_go_to_the_smaller_id() -> None:
    assert order([0.5, 0.5, 0.9], ["b", "a", "c"]).tolist() == [2, 1, 0]


def test_ids_of_53_bits_are_told_apart() -> None:
    last = 2**53 - 1
    assert order([1.0, 1.0], [last, last - 1]).tolist() == [1, 0]
    assert judge([last, last - 1], {last - 1}, query_id=last).tolist() == [True]


def test_the_query_is_taken_out_wherever_it_stands() -> None:
    for place in range(4):
        ranking = [5, 6, 7]
        ranking.insert(place, 1)
        assert judge(ranking, relevant={1, 6}, query_id=1).tolist() == [False, True, False]


def test_the_query_may_be_missing_from_the_ranking_and_the_gallery() -> None:
    assert judge([5, 6], relevant={6}, query_id=1).tolist() == [False, True]
    assert judge([5, 6], relevant=np.array([6]), query_id=None).tolist() == [False, True]
    assert judge([], relevant={6}, query_id=1).tolist() == []


def test_junk_leaves_the_ranking_and_is_never_right() -> None:
    assert judge([8, 5, 9, 6], {6, 9}, query_id=None, junk=[8, 9]).tolist() == [False, True]
    assert count_relevant({6, 9}, query_id=None, junk=[8, 9]) == 1


def test_ids_may_be_text_in_any_kind_of_array() -> None:
    ranking = np.array(["q", "b", "a"], dtype=object)
    assert judge(ranking, {"a"}, query_id="q").tolist() == [False, True]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: judge([1, 2, 1], {2}, query_id=None), "The id 1 occurs more than once"),
        (lambda: judge(["a", "a"], {"b"}, query_id="a"), "The id a occurs more than once"),
        (lambda: judge([1, 2], {"1"}, query_id=None), "ids are numbers and others text"),
        (lambda: judge([1, 2], {1}, query_id="1"), "ids are numbers and others text"),
        (
            lambda: judge(np.array([1.5, 2]), {2}, query_id=None),
            "integers or text, not float64",
        ),
        (lambda: order([1.0, float("nan")], [1, 2]), "NaN"),
        (lambda: order([1.0], [1, 2]), "1 scores for 2 ids"),
        (lambda: hit_rate(rel(1), 0), "k is 0"),
        (lambda: precision(rel(1), -1), "k is -1"),
        (lambda: average_precision(rel(0), 0), "exclude it"),
        (lambda: recall(rel(1, 1), 1, 1), "2 relevant images are ranked, but `total` is only 1"),
        (lambda: ann_recall([1, 1], [1, 2]), "The id 1 occurs more than once"),
        (lambda: ann_recall([1, 2], [1]), "2 were found, to be compared with only 1"),
        (lambda: ann_recall([], []), "found nothing to compare with"),
    ],
)
def test_what_would_give_a_wrong_number_is_refused(call: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()


@given(small_ids, st.data())
def test_the_order_of_the_files_changes_nothing(ids: list[int], data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(0, 3), min_size=len(ids), max_size=len(ids)))
    relevant = data.draw(st.sets(st.sampled_from(ids), min_size=1))
    shuffle = data.draw(st.permutations(range(len(ids))))

    def answer(places: list[int]) -> list[bool]:
        gallery = np.array(ids)[places]
        ranked = gallery[order(np.array(scores)[places], gallery)]
        found: list[bool] = judge(ranked, relevant, query_id=ids[0]).tolist()
        return found

    assert answer(list(shuffle)) == answer(list(range(len(ids))))


@given(small_ids, st.data())
def test_exact_duplicates_do_not_displace_the_query_from_its_exclusion(
    ids: list[int], data: st.DataObject
) -> None:
    query = data.draw(st.sampled_from(ids))
    ranked = np.array(ids)[order(np.ones(len(ids)), ids)]  # all of them the query's own bytes
    twins = set(ids) - {query}
    assert judge(ranked, relevant=ids, query_id=query).tolist() == [True] * len(twins)
    assert judge(ranked, relevant=twins, query_id=query).all()
    assert not judge(ranked, relevant={query}, query_id=query).any()
    assert count_relevant(ids, query_id=query) == len(twins)


@given(small_ids, st.data())
def test_an_id_ranked_twice_is_refused(ids: list[int], data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(ids))
    where = data.draw(st.integers(0, len(ids)))
    with pytest.raises(ValueError, match="more than once"):
        judge([*ids[:where], again, *ids[where:]], relevant=set(ids), query_id=ids[0])


@given(small_ids, st.data())
def test_junk_moves_the_rest_up_as_if_it_had_never_been_ranked(
    ids: list[int], data: st.DataObject
) -> None:
    relevant = data.draw(st.sets(st.sampled_from(ids)))
    junk = data.draw(st.sets(st.sampled_from(ids))) - relevant
    spots = [place for place, one in enumerate(ids) if one in relevant]
    moved = [spot - sum(other in junk for other in ids[:spot]) for spot in spots]
    found = judge(ids, relevant, query_id=None, junk=junk)
    assert np.flatnonzero(found).tolist() == moved
    assert found.size == len(ids) - len(junk)


@given(st.permutations(range(8)), st.integers(0, 3))
def test_ukbench_agrees_with_counting_the_first_four_with_the_query_left_in(
    others: list[int], place: int
) -> None:
    ranking = [image + 1 for image in others]
    ranking.insert(place, 0)
    group = {0, 1, 2, 3}
    official = sum(image in group for image in ranking[:4])
    assert ukbench_ns(judge(ranking, group, query_id=0)) == official


@given(st.integers(1, 30), st.integers(0, 30))
def test_a_perfect_ranking_gives_1_for_all(total: int, rest: int) -> None:
    ranking = rel(*[1] * total, *[0] * rest)
    assert set(score_query(ranking, total, ks=[total]).values()) == {1.0}
    assert ukbench_ns(ranking) == min(4, 1 + total)


@given(st.integers(1, 30), st.integers(1, 30))
def test_reversing_a_perfect_ranking_lowers_what_minds_the_order(total: int, rest: int) -> None:
    ranking = rel(*[1] * total, *[0] * rest)
    backwards = ranking[::-1]
    assert ndcg(backwards, total, k=total + rest) < 1
    assert average_precision(backwards, total) < 1
    assert average_precision_trapezoid(backwards, total) < 1
    assert map_at_r(backwards, total) < 1
    assert reciprocal_rank(backwards) < 1
    assert recall(backwards, total, k=total + rest) == 1


@given(judged(), places)
def test_every_value_lies_between_0_and_1(case: Judged, k: int) -> None:
    ranking, total = case
    for name, value in score_query(ranking, total, ks=[k]).items():
        assert type(value) is float
        assert 0 <= value <= 1, name
    assert 1 <= ukbench_ns(ranking) <= 4


@given(judged())
def test_more_places_never_lower_hit_rate_or_recall(case: Judged) -> None:
    ranking, total = case
    for k, more in pairwise(range(1, 50)):
        assert hit_rate(ranking, k) <= hit_rate(ranking, more)
        assert recall(ranking, total, k) <= recall(ranking, total, more)


@given(judged())
def test_trapezoids_lie_below_rectangles_and_map_at_r_below_both_its_kin(case: Judged) -> None:
    ranking, total = case
    area = average_precision(ranking, total)
    assert average_precision_trapezoid(ranking, total) <= area + 1e-12
    assert map_at_r(ranking, total) <= area + 1e-12
    assert map_at_r(ranking, total) <= r_precision(ranking, total) + 1e-12


@given(judged(), places, st.integers(0, 20))
def test_irrelevant_images_at_the_end_change_nothing(case: Judged, k: int, more: int) -> None:
    ranking, total = case
    longer = np.concatenate([ranking, np.zeros(more, dtype=bool)])
    assert score_query(longer, total, [k]) == score_query(ranking, total, [k])


def test_a_tie_with_the_last_place_counts_as_found() -> None:
    exact = [0.9, 0.8, 0.7]
    assert ann_recall_ties([0.9, 0.8, 0.7], exact) == 1
    assert ann_recall_ties([0.7, 0.7, 0.9], exact) == 1
    assert ann_recall_ties([0.9, 0.69], exact) == pytest.approx(1 / 3)
    assert ann_recall_ties([0.9, 0.7 - 1e-7], exact) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="2 were found"):
        ann_recall_ties([1, 1], [1])


@given(judged(), places)
def test_graded_ndcg_of_one_grade_is_ndcg(case: Judged, k: int) -> None:
    ranking, total = case
    ideal = [2] * total + [0] * 3
    assert graded_ndcg(2 * ranking, ideal, k) == pytest.approx(ndcg(ranking, total, k))


def test_graded_ndcg_rewards_the_higher_grade_and_its_rank() -> None:
    ideal = [2, 1, 0]
    assert graded_ndcg([2, 1, 0], ideal, 3) == 1.0
    values = [graded_ndcg(gains, ideal, 2) for gains in ([2, 0], [1, 2], [1, 0], [0, 0], [])]
    assert values == pytest.approx([2 / 2.63092975, 2.26185951 / 2.63092975, 1 / 2.63092975, 0, 0])
    assert graded_ndcg([0, 0], [0, 0], 2) == 0.0
    with pytest.raises(ValueError, match="at least 1"):
        graded_ndcg([1], [1], 0)
