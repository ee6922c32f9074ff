from __future__ import annotations

from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogv.judgements import Grade, Pair, PooledQuery
from eval.judging.scoring import QueryScore, compare_settings, score_query

IMAGES = list("abcdef")
POOLED = PooledQuery(query="q", images=IMAGES)


def scored(ranked: str, ks: list[int], **grades: int) -> QueryScore:
    given_grades = {Pair("q", image): cast(Grade, grade) for image, grade in grades.items()}
    return score_query(POOLED, list(ranked), given_grades, ks)


def test_a_worked_example() -> None:
    """Relevant, not, partly, unjudged; in the pool, another one is relevant."""
    found = scored("abcd", [2, 4], a=2, b=0, c=1, e=2, f=0)
    assert found.scores["precision@4"] == 1 / 4
    assert found.scores["precision_lenient@4"] == 2 / 4
    # (2 / log2(2) + 1 / log2(4)) / (2 / log2(2) + 2 / log2(3) + 1 / log2(4))
    assert found.scores["graded_ndcg@4"] == pytest.approx(2.5 / 3.7618595071429146)
    assert found.bounds["precision@4"] == (1 / 4, 2 / 4)
    assert found.bounds["precision_lenient@4"] == (2 / 4, 3 / 4)
    assert found.bounds["precision@2"] == (1 / 2, 1 / 2)
    assert found.unjudged == {2: 0, 4: 1}


def test_a_query_with_nothing_relevant_scores_zero() -> None:
    found = scored("abc", [3], **dict.fromkeys(IMAGES, 0))
    assert set(found.scores.values()) == {0.0}
    assert set(found.bounds.values()) == {(0.0, 0.0)}
    assert scored("abc", [3], d=0).bounds["graded_ndcg@3"] == (0.0, 1.0)


@given(st.lists(st.sampled_from([0, 1, 2, None]), min_size=6, max_size=6), st.permutations(IMAGES))
def test_no_way_to_judge_the_rest_leaves_the_bounds(grades: list[int | None], order: Any) -> None:
    known = {image: grade for image, grade in zip(IMAGES, grades, strict=True) if grade is not None}
    unknown = [image for image in IMAGES if image not in known][:4]
    known |= dict.fromkeys([image for image in IMAGES if image not in {*known, *unknown}], 0)
    ranked = "".join(order[:4])
    found = scored(ranked, [2, 4], **known)
    for rest in product((0, 1, 2), repeat=len(unknown)):
        whole = scored(ranked, [2, 4], **known, **dict(zip(unknown, rest, strict=True)))
        for name, (low, high) in found.bounds.items():
            assert low - 1e-9 <= whole.scores[name] <= high + 1e-9, name
        assert set(whole.unjudged.values()) == {0}


def scores(values: list[float]) -> list[QueryScore]:
    names = ("precision@5", "precision_lenient@5", "graded_ndcg@5")
    return [
        QueryScore(str(number), dict.fromkeys(names, value), {}, {})
        for number, value in enumerate(values)
    ]


def test_a_setting_that_is_better_for_every_query_is_told_so_either_way() -> None:
    low, high = scores([0.1, 0.2, 0.3] * 10), scores([0.5, 0.7, 0.6] * 10)
    for a, b, verdict in ((low, high, "better"), (high, low, "worse"), (low, low, "undecided")):
        found = compare_settings({"A": a, "B": b}, 5, seed=0)
        assert {each.verdict for each in found} == {verdict}
    assert all(each.p == 1 for each in found)


def test_p_values_are_corrected_for_all_pairs_and_metrics() -> None:
    a, b = scores([0.1, 0.2] * 3), scores([0.3, 0.5] * 3)
    [first, *_] = compare_settings({"A": a, "B": b}, 5, seed=0)
    assert first.p == pytest.approx(3 * 2 / 2**6)  # 3 rows, two-sided, one of 64 flips
    assert len(compare_settings({"A": a, "B": b, "C": a}, 5, seed=0)) == 9
