"""Two runs of the same questions: is the second worse, and which queries flipped?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eval.errors import WorkbenchError
from eval.retrieval.result import Run, read_run
from eval.statistics import Difference, paired_bootstrap


@dataclass(frozen=True)
class Comparison:
    """What a comparison of run b with run a found."""

    a: Run
    b: Run
    metric: str
    before: float
    """The metric's mean in a."""
    after: float
    queries: int
    difference: Difference
    """b - a."""
    max_drop: float
    k: int
    """A query flips if only one of the runs has a relevant image in the top k."""
    lost: list[str]
    """Ids of the queries with a hit in a, but not in b."""
    won: list[str]

    @property
    def worse(self) -> bool:
        """Whether b is surely worse than a, and by more than is allowed."""
        return self.difference.ci95[1] < 0 and -self.difference.value > self.max_drop


def compare(
    a: Path, b: Path, metric: str | None = None, max_drop: float = 0.0, seed: int = 0
) -> Comparison:
    """Compare run b with run a, query by query.

    metric: as named in run.json; None: the dataset's headline. max_drop: in the metric's unit.
    Raises WorkbenchError for runs that can't be compared.
    """
    (before, before_queries), (after, after_queries) = read_run(a), read_run(b)
    _check_alike(before, after)
    name = metric or before.dataset.headline
    for run, queries in ((before, before_queries), (after, after_queries)):
        _check_metric(run, queries, name)
    shared = before_queries.merge(after_queries, on="query", suffixes=("_a", "_b"))
    if shared.empty:
        raise WorkbenchError("The two runs have no query in common.")
    values_a, values_b = shared[f"{name}_a"], shared[f"{name}_b"]
    k = _flip_k(name, before)
    right_a, right_b = (_right(shared[f"first_relevant_{side}"], k) for side in "ab")
    return Comparison(
        a=before,
        b=after,
        metric=name,
        before=float(values_a.mean()),
        after=float(values_b.mean()),
        queries=len(shared),
        difference=paired_bootstrap(values_a.to_numpy(), values_b.to_numpy(), seed),
        max_drop=max_drop,
        k=k,
        lost=sorted(shared["query"][right_a & ~right_b].tolist()),
        won=sorted(shared["query"][right_b & ~right_a].tolist()),
    )


def _check_alike(a: Run, b: Run) -> None:
    """Raises WorkbenchError unless the runs differ only in weights, settings, engine, backend and
    the bootstrap's seed."""
    pairs = {
        "dataset": (a.dataset.id, b.dataset.id),
        "protocol": (a.dataset.protocol, b.dataset.protocol),
        "limit": (a.dataset.limit, b.dataset.limit),
        "k": (a.k, b.k),
        "dataset's digest (images, labels, roles; with --limit also --seed)": (
            a.dataset.digest,
            b.dataset.digest,
        ),
    }
    for what, (first, second) in pairs.items():
        if first != second:
            raise WorkbenchError(
                f"The runs can't be compared: the {what} is {first} in one and {second} in the"
                " other."
            )


def _check_metric(run: Run, queries: pd.DataFrame, name: str) -> None:
    known = [metric for metric in run.metrics if metric in queries.columns]
    if name not in known:
        raise WorkbenchError(f"The runs have no metric {name!r}; they have {', '.join(known)}.")


def _flip_k(metric: str, run: Run) -> int:
    """The metric's own k; for a metric without one, the smallest of the run."""
    _, _, own = metric.partition("@")
    return int(own) if own.isdigit() else min(run.k)


def _right(first_relevant: pd.Series[int], k: int) -> pd.Series[bool]:
    return (first_relevant <= k).fillna(value=False).astype(bool)
