"""What goes into a filter stands for itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogv.errors import InvalidValue
from bogv.storage.filters import id_ranges, key_filter, storable_ids, string_literal

ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@pytest.mark.parametrize("character", ESCAPED)
def test_special_characters_of_a_literal_are_escaped(character: str) -> None:
    assert string_literal(f"a{character}b") == f'"a{ESCAPED[character]}b"'


@pytest.mark.parametrize("text", ["", "\\u0041", "\x1f", "'", "猫🐱", "\u2028", "{}", "%_"])
def test_other_characters_are_not_escaped(text: str) -> None:
    assert string_literal(text)[1:-1] == text.replace("\\", "\\\\")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_ends_only_at_its_last_quote(text: str) -> None:
    literal = string_literal(text)
    body = literal[1:-1].replace("\\\\", "")
    assert literal[0] == literal[-1] == '"'
    assert '"' not in body.replace('\\"', "")
    assert not body.endswith("\\")


def test_a_key_filter_lists_each_key_as_a_literal() -> None:
    assert key_filter(["a", 'b", "c']) == 'key in ["a", "b\\", \\"c"]'


def test_storable_ids_keep_their_order() -> None:
    assert storable_ids([3, 0, 1, -1, 2**63, 2**63 - 1, 3]) == [3, 1, 2**63 - 1, 3]


@pytest.mark.parametrize("given_id", ["1", "1 or true", 1.0, True, None, [1]])
def test_an_id_that_is_not_an_integer_is_rejected(given_id: Any) -> None:
    with pytest.raises(InvalidValue, match="is not an id"):
        storable_ids([1, given_id])


@pytest.mark.parametrize("count", [0, 499, 500, 12_345])
def test_ranges_of_ids_cover_all_ids_once(count: int) -> None:
    ranges = list(id_ranges(count, 500))
    assert len(ranges) == count // 500 + 1
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 2**53
    assert all(end == start for (_, end), (start, _) in pairwise(ranges))
