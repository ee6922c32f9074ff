"""From pairs to searches: what counts as found, and what as a false alarm."""

from __future__ import annotations

from eval.copies.tables import summarise_searches
from tests.eval.support.copies import table


def test_only_the_original_counts_as_found() -> None:
    found = summarise_searches(
        table(
            {"query": "1", "right": True, "kind": "copy"},
            {"query": "2", "right": True, "kind": "part"},
            {"query": "3", "kind": "copy"},
        )
    )
    assert found["recall_copy"].tolist() == [1, 0, 0]
    assert found["recall_part"].tolist() == [1, 1, 0]
    assert found["candidate"].tolist() == [True, True, False]
    assert found["false_copy"].tolist() == [0, 0, 1]


def test_the_label_excuses_a_part_and_never_a_copy() -> None:
    found = summarise_searches(
        table(
            {"query": "1", "kind": "part", "excused": True},
            {"query": "2", "kind": "copy", "excused": True},
            {"query": "3", "kind": "part"},
            {"query": "4", "kind": "exact"},
            {"query": "5"},
        )
    )
    assert found["false_exact"].tolist() == [0, 0, 0, 1, 0]
    assert found["false_copy"].tolist() == [0, 1, 0, 1, 0]
    assert found["false_part"].tolist() == [0, 0, 1, 1, 0]
    assert found["false_part_any_label"].tolist() == [1, 1, 1, 1, 0]


def test_a_search_with_the_original_and_one_without_are_two() -> None:
    found = summarise_searches(
        table({"there": True, "right": True, "kind": "copy"}, {"there": False})
    )
    assert found["there"].tolist() == [True, False]
    assert found["recall_copy"].tolist() == [1, 0]
