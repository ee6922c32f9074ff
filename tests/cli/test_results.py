"""What searches and adds print: the match, how a copy is turned, the verdict, the duplicate."""

from __future__ import annotations

import pytest

from bogv.cli.results import (
    added_as_json,
    count_noun,
    describe_match,
    describe_near_duplicate,
    describe_rarity,
    describe_record,
    describe_verdict,
    hit_as_json,
)
from bogv.errors import InvalidValue
from bogv.records import Added, Hit, Match, NearDuplicate, Record, SearchResult, Verdict

RECORD = Record(7, "a key", "a.png", "0" * 32, 20, 10, 5, 1)


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (Match("copy", 3, 2), "copy, mirrored"),
        (Match("copy", 3, 1), "copy"),
        (Match("exact"), "exact"),
        (Match("similar", 40, 2), "similar"),
    ],
)
def test_of_a_proven_match_it_says_how_it_is_turned(match: Match, text: str) -> None:
    assert describe_match(match) == text


def test_a_verdict_tells_the_image_and_the_chance_of_a_false_alarm() -> None:
    found = describe_verdict(SearchResult([], {}, verdict=Verdict("copy", 7, 0.0123)))
    assert found == (
        "The gallery has a copy of this picture: 7."
        " (Chance of a false alarm in such a search: at most 0.012.)"
    )
    unsure = describe_verdict(
        SearchResult([], {}, copies_complete=False, verdict=Verdict("none", None, 0.1))
    )
    assert unsure.startswith("No copy of this picture was found. Some images have no hash yet")
    assert describe_verdict(SearchResult([], {})).endswith("can't be told.")


def test_an_added_image_names_the_same_picture_or_its_error() -> None:
    added = Added(
        "created", "b.png", 8, "b", near_duplicate_of=NearDuplicate(7, "a", Match("copy"))
    )
    assert added.near_duplicate_of is not None
    assert describe_near_duplicate(added, added.near_duplicate_of) == (
        "created: b.png: a copy of 7  a"
    )
    assert added_as_json(added)["near_duplicate_of"] == added.near_duplicate_of.as_dict()
    failed = added_as_json(Added("failed", "c.png", error=InvalidValue("It is no image.")))
    assert failed["error"] == {"type": InvalidValue.type, "detail": "It is no image."}


def test_a_hit_has_its_record_and_its_score_and_its_match() -> None:
    values = hit_as_json(Hit(RECORD, 0.12345678, Match("copy", 3, 1)))
    assert (values["id"], values["score"], values["match"]) == (7, 0.123457, "copy")
    assert describe_record(RECORD).split() == ["7", "a", "key", "a.png"]


def test_one_is_singular() -> None:
    assert [count_noun(each, "image") for each in (0, 1, 1000)] == [
        "0 images",
        "1 image",
        "1,000 images",
    ]


def test_a_hit_has_its_rarity_as_json() -> None:
    values = hit_as_json(Hit(RECORD, 0.12345678, rarity=0.001))
    assert (values["score"], values["rarity"], values["match"]) == (0.123457, 0.001, "similar")


def test_a_rarity_is_a_number_of_pairs() -> None:
    assert describe_rarity(Hit(RECORD, 0.5, rarity=1 / 4987)) == "1 in 5,000"
    assert describe_rarity(Hit(RECORD, 0.5)) == ""
