"""Groups in which every pair is close: greedy complete linkage over the graph of close pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_NOTHING: frozenset[int] = frozenset()


def link_completely(
    pairs: Sequence[tuple[int, int]], apart: Mapping[int, frozenset[int]] | None = None
) -> list[list[int]]:
    """Groups of at least two nodes, each pair of which is among the pairs; the same every time.

    pairs: of different nodes (numbers below 2^31), the closest first: two groups are joined at the
    first pair between them, if all of them are pairs. So no chain of pairs makes a group. apart:
    nodes with a number in common are never in one group.
    """
    linkage = _Linkage(pairs, apart or {})
    for left, right in pairs:
        linkage.join(left, right)
    return sorted(sorted(group) for group in linkage.groups.values() if len(group) > 1)


class _Linkage:
    """Groups by the node that stands for each. Two that can't be joined now never can be: groups
    only grow, and so do the pairs that are missing between them."""

    def __init__(
        self, pairs: Sequence[tuple[int, int]], apart: Mapping[int, frozenset[int]]
    ) -> None:
        ends = np.asarray(pairs, np.int64).reshape(-1, 2)
        self._codes = np.unique(_code(ends[:, 0], ends[:, 1]))
        nodes = np.unique(ends).tolist()
        self.groups = {node: [node] for node in nodes}
        self._group_of = {node: node for node in nodes}
        self._apart = {node: apart.get(node, _NOTHING) for node in nodes}
        self._barred: dict[int, set[int]] = {}

    def join(self, left: int, right: int) -> None:
        """Join the groups of two nodes, if that is allowed."""
        into, other = sorted((self._group_of[left], self._group_of[right]))
        if into == other or other in self._barred.get(into, _NOTHING):
            return
        if self._apart[into] & self._apart[other] or not self._is_complete(into, other):
            self._bar(into, other)
            return
        for node in self.groups[other]:
            self._group_of[node] = into
        self.groups[into] += self.groups.pop(other)
        self._apart[into] |= self._apart.pop(other)
        for third in self._barred.pop(other, _NOTHING):
            self._barred[third].discard(other)
            self._bar(into, third)

    def _bar(self, one: int, other: int) -> None:
        self._barred.setdefault(one, set()).add(other)
        self._barred.setdefault(other, set()).add(one)

    def _is_complete(self, one: int, other: int) -> bool:
        """Whether all pairs between two groups are there."""
        left, right = self.groups[one], self.groups[other]
        if len(left) == len(right) == 1:
            return True  # their pair is what joins them
        between = _code(np.array(left)[:, np.newaxis], np.array(right)).ravel()
        places = np.searchsorted(self._codes, between)
        places[places == len(self._codes)] = 0
        return bool((self._codes[places] == between).all())


def _code(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each pair, whichever of its nodes comes first."""
    return (np.minimum(left, right) << 32) | np.maximum(left, right)
