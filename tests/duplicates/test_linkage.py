"""Complete linkage: every pair of a group is a pair; no chains; the closest first."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from bogv.duplicates.linkage import link_completely

RANDOM = np.random.default_rng(5)


def test_a_chain_is_no_group() -> None:
    assert link_completely([(1, 2), (2, 3)]) == [[1, 2]]
    assert link_completely([(2, 3), (1, 2)]) == [[2, 3]]
    assert link_completely([(1, 2), (2, 3), (1, 3)]) == [[1, 2, 3]]
    assert link_completely([]) == []


def test_groups_are_joined_only_if_all_their_pairs_are_there() -> None:
    two = [(1, 2), (3, 4), (1, 3), (1, 4), (2, 3)]
    assert link_completely(two) == [[1, 2], [3, 4]]
    assert link_completely([*two, (2, 4)]) == [[1, 2, 3, 4]]


def test_nodes_that_are_apart_are_never_in_one_group() -> None:
    pairs = list(combinations(range(4), 2))
    apart = {0: frozenset({7}), 3: frozenset({7, 8}), 1: frozenset({9})}
    assert link_completely(pairs, apart) == [[0, 1, 2]]
    assert link_completely([(0, 3)], apart) == []


def test_what_could_not_be_joined_once_stays_apart_after_either_has_grown() -> None:
    pairs = [(0, 1), (1, 5), (0, 2), (1, 2), (2, 5)]
    assert link_completely(pairs) == [[0, 1, 2]]


def test_every_pair_of_a_group_is_a_pair_and_no_two_groups_could_be_one() -> None:
    for _ in range(30):
        every = list(combinations(range(14), 2))
        chosen = RANDOM.choice(len(every), RANDOM.integers(10, 80), replace=False)
        pairs = [every[i] for i in chosen]
        apart = {int(i): frozenset({1}) for i in RANDOM.choice(14, 3, replace=False)}
        groups = link_completely(pairs, apart)
        assert groups == link_completely([(b, a) for a, b in pairs], apart)
        for group in groups:
            assert set(combinations(group, 2)) <= set(pairs)
            assert len(apart.keys() & set(group)) <= 1
        for one, other in combinations(groups, 2):
            joined = sorted([*one, *other])
            allowed = len(apart.keys() & set(joined)) <= 1
            assert not (allowed and set(combinations(joined, 2)) <= set(pairs))
