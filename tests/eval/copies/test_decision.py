"""What is said of a pair, and how sure each method is."""

from __future__ import annotations

from itertools import pairwise

from bogv.copies.geometry import PART
from eval.copies.decision import METHODS, by_all, by_geometry, by_hash, by_network, kind_of
from tests.eval.support.copies import pair


def test_the_rule_is_the_products_and_equal_files_come_first() -> None:
    assert kind_of(pair(exact=True)) == "exact"
    assert kind_of(pair(distance=31)) == "copy"
    assert kind_of(pair(distance=32)) == "similar"
    assert kind_of(pair(PART, distance=70)) == "copy"
    assert kind_of(pair(PART, 0.5, distance=70)) == "part"
    assert kind_of(pair(PART)) == "part"
    assert kind_of(pair(PART - 1)) == "similar"


def test_all_together_ranks_kinds_before_what_each_goes_by() -> None:
    ordered = [
        pair(exact=True, distance=0),
        pair(distance=0, cosine=0.1),
        pair(distance=31, cosine=1.0),
        pair(900),
        pair(PART, cosine=1.0),
        pair(PART - 1, cosine=1.0),
        pair(cosine=0.2),
        pair(cosine=-0.5),
    ]
    confidences = [by_all(each) for each in ordered]
    assert all(a is not None and b is not None and a > b for a, b in pairwise(confidences))


def test_a_method_names_only_what_it_can_see() -> None:
    assert (
        by_hash(pair(distance=None)) is by_geometry(pair(0)) is by_network(pair(hit=False)) is None
    )
    assert by_hash(pair(distance=6)) == 250
    assert (by_geometry(pair(12)), by_network(pair())) == (12, 0.5)
    assert list(METHODS) == ["hash", "geometry", "network", "all"]
