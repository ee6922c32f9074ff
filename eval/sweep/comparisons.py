"""Each setting against the baseline, over the queries of all seeds.

The queries of several seeds are put together. Samples of one dataset share images, so its sampling
units (classes, groups, landmarks) are the same in all of them, and are what intervals and tests
draw. A seed's queries are compared with those of the same seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from eval.report.comparison import Comparison, check_conditions, compare_pairs, correct
from eval.report.results import Mean, means_of
from eval.retrieval.result import Run
from eval.statistics.comparisons import Difference, judge
from eval.sweep.cells import Cell
from eval.sweep.result import Change, Verdict

Key = tuple[str, str]
"""Dataset and setting."""


@dataclass(frozen=True)
class Group:
    """The cells of a setting on a dataset, by the order of the seeds."""

    cells: Sequence[Cell]

    @property
    def error(self) -> str | None:
        """Why there is no figure: the first cell's that failed."""
        return next((cell.error for cell in self.cells if cell.error), None)

    @property
    def run(self) -> Run:
        """The first seed's."""
        return self._done()[0][0]

    @property
    def metric(self) -> str:
        """The dataset's headline."""
        return self.run.dataset.headline

    def mean(self) -> Mean:
        """Of the headline metric, over the queries of all seeds."""
        queries = pd.concat([frame for _, frame in self._done()])
        return means_of({self.metric: queries[self.metric]}, self.run.seed, queries["unit"])[
            self.metric
        ]

    def by_seed(self) -> dict[int, float]:
        """The headline metric of each seed."""
        return {run.seed: run.headline.value for run, _ in self._done()}

    def compare(self, other: Group) -> Comparison:
        """Whether this one is worse than the other."""
        pairs = list(zip(other._done(), self._done(), strict=True))
        for (before, _), (after, _) in pairs:
            check_conditions(before, after)
        shared = pd.concat(
            [
                before.merge(after, on="query", suffixes=("_a", "_b"))
                for (_, before), (_, after) in pairs
            ]
        )
        return compare_pairs(
            other.run,
            self.run,
            self.metric,
            shared,
            unit="unit_a",
            max_drop=0.0,
            seed=self.run.seed,
        )

    def _done(self) -> list[tuple[Run, pd.DataFrame]]:
        return [
            (c.run, c.queries) for c in self.cells if c.run is not None and c.queries is not None
        ]


def group_cells(cells: Iterable[Cell]) -> dict[Key, Group]:
    """The cells by dataset and setting."""
    groups: dict[Key, list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.task.choice.id, cell.task.settings.title), []).append(cell)
    return {key: Group(members) for key, members in groups.items()}


def compare_groups(
    groups: Mapping[Key, Group], baseline: str, max_drop: float
) -> dict[Key, tuple[Change, Verdict]]:
    """Each setting less the baseline, where both have figures.

    Two one-sided tests each, that it is worse and that it is better, at 2.5%: each of the two
    families is corrected for the number of comparisons, so that all of the verdicts `worse` and
    `better` together are wrong in no more than 5% of sweeps.
    """
    pairs = {
        key: (group, groups[key[0], baseline])
        for key, group in groups.items()
        if key[1] != baseline and not group.error and not groups[key[0], baseline].error
    }
    down = correct([group.compare(base) for group, base in pairs.values()])
    up = correct([base.compare(group) for group, base in pairs.values()])
    return {
        key: (_change(worse, better), _verdict(worse, better, max_drop))
        for key, worse, better in zip(pairs, down, up, strict=True)
    }


def _change(worse: Comparison, better: Comparison) -> Change:
    found: Difference = worse.difference
    return Change(
        value=found.value,
        ci95=found.ci95,
        p=min(1.0, 2 * min(worse.p_worse, better.p_worse)),
        detectable=found.detectable,
    )


def _verdict(worse: Comparison, better: Comparison, max_drop: float) -> Verdict:
    if worse.verdict == "worse":
        return "worse"
    if better.verdict == "worse":
        return "better"
    # The tests have said no: what is left is whether a drop beyond the margin is ruled out.
    shown = judge(worse.difference, max_drop) == "not worse"
    return "not worse" if shown else "undecided"
