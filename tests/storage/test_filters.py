"""What goes into a filter stands for itself."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogv.errors import InvalidValue
from bogv.storage.filters import key_filter, storable_ids, string_literal

ESCAPED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@pytest.mark.parametrize("character", ESCAPED)
def test_what_would_end_or_break_a_literal_is_escaped(character: str) -> None:
    assert string_literal(f"a{character}b") == f'"a{ESCAPED[character]}b"'


@pytest.mark.parametrize("text", ["", "\\u0041", "\x1f", "'", "猫🐱", "\u2028", "{}", "%_"])
def test_all_other_characters_stand_for_themselves(text: str) -> None:
    assert string_literal(text)[1:-1] == text.replace("\\", "\\\\")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_ends_where_it_was_meant_to(text: str) -> None:
    literal = string_literal(text)
    body = literal[1:-1].replace("\\\\", "")
    assert literal[0] == literal[-1] == '"'
    assert '"' not in body.replace('\\"', "")
    assert not body.endswith("\\")


def test_keys_are_listed_each_as_a_literal() -> None:
    assert key_filter(["a", 'b", "c']) == 'key in ["a", "b\\", \\"c"]'


def test_ids_that_milvus_can_hold_are_kept_in_their_order() -> None:
    assert storable_ids([3, 0, 1, -1, 2**63, 2**63 - 1, 3]) == [3, 1, 2**63 - 1, 3]


@pytest.mark.parametrize("given_id", ["1", "1 or true", 1.0, True, None, [1]])
def test_what_is_no_integer_is_refused(given_id: Any) -> None:
    with pytest.raises(InvalidValue, match="is no id"):
        storable_ids([1, given_id])
