"""Results as lines of text and as JSON."""

from __future__ import annotations

from bogv.command_line.results import (
    describe_duplicate,
    describe_match,
    describe_rarity,
    describe_verdict,
    hit_json,
    record_line,
)
from bogv.records import Added, Hit, Match, NearDuplicate, Record, SearchResult, Verdict

RECORD = Record(7, "k", "/a/x.jpg", "0" * 32, 10, 10, 100, 0)


def test_a_match_names_its_orientation_if_it_is_proven() -> None:
    assert describe_match(Match("copy", 3, 2)) == "copy, mirrored"
    assert describe_match(Match("copy", 3, 1)) == "copy"
    assert describe_match(Match("similar", 60, 2)) == "similar"


def test_a_verdict_says_whether_the_picture_is_there_and_how_sure_that_is() -> None:
    found = SearchResult([Hit(RECORD, 0.5)], {}, verdict=Verdict("copy", 7, 0.0048))
    assert describe_verdict(found).startswith("The gallery has a copy of this picture: 7.")
    assert "at most 0.0048" in describe_verdict(found)
    assert "can't be told" in describe_verdict(SearchResult([], {}))


def test_a_hit_has_its_rarity_as_json() -> None:
    values = hit_json(Hit(RECORD, 0.12345678, rarity=0.001))
    assert (values["score"], values["rarity"], values["match"]) == (0.123457, 0.001, "similar")


def test_a_rarity_is_a_number_of_pairs() -> None:
    assert describe_rarity(Hit(RECORD, 0.5, rarity=1 / 4987)) == "1 in 5,000"
    assert describe_rarity(Hit(RECORD, 0.5)) == ""


def test_a_duplicate_is_named() -> None:
    added = Added("created", "/b.jpg", 8, "b")
    line = describe_duplicate(added, NearDuplicate(7, "k", Match("exact", 0, 1)))
    assert line == "created: /b.jpg: the same file as 7  k"
    assert record_line(RECORD).split() == ["7", "k", "/a/x.jpg"]
