"""From the tables to the figures of run.json, each with its interval over source photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bogv.calibration.edits import CONTROL
from eval.copies.decision import METHODS
from eval.copies.goals import FALSE, RECALLS, concerns
from eval.copies.ranked import Curve, RankedList, figures, resampled_figures
from eval.copies.tables import SEARCH, of_edits
from eval.report.results import Mean, means_of

FALSE_COLUMNS = [*(goal.name for goal in FALSE), "false_part_any_label"]
RECALL_COLUMNS = ["recall_copy", "recall_part"]
AT = 0.99
"""The precision at which the methods are compared edit by edit."""


def score(pairs: pd.DataFrame, searches: pd.DataFrame, seed: int) -> dict[str, Mean]:
    """All figures, by their names in run.json; the tables are those of `eval.copies.tables`."""
    return {
        **_recalls(searches, seed),
        **_false_alarms(searches, seed),
        **_ranked_figures(pairs, searches, seed),
        **_recalls_of_methods(pairs, searches, seed),
    }


def _recalls(searches: pd.DataFrame, seed: int) -> dict[str, Mean]:
    edited = of_edits(searches)
    means = _named(edited, RECALL_COLUMNS, "", seed)
    for suffix, rows in groups_of_edits(edited):
        means |= _named(rows, RECALL_COLUMNS, suffix, seed)
    control = searches[searches["there"] & (searches["edit"] == CONTROL.edit)]
    means |= _named(control, RECALL_COLUMNS, f"/{CONTROL.name}", seed)
    for goal in RECALLS:
        chosen = [
            concerns(goal, *each) for each in zip(edited["edit"], edited["strength"], strict=True)
        ]
        rows = edited[chosen]
        if goal.name.endswith("/candidates"):
            rows = rows[rows["candidate"]]
        if len(rows) and goal.name not in means:
            found = _named(rows, [goal.column], "", seed)
            means[goal.name] = found[goal.column]
    return means


def _false_alarms(searches: pd.DataFrame, seed: int) -> dict[str, Mean]:
    return _named(searches[~searches["there"]], FALSE_COLUMNS, "", seed)


def groups_of_edits(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """`/<edit>` and `/<edit>:<strength>`, in the order of the table, with the rows of each."""
    for edit, of_edit in rows.groupby("edit", sort=False):
        yield f"/{edit}", of_edit
        for strength, of_strength in of_edit.groupby("strength", sort=False):
            yield f"/{edit}:{strength}", of_strength


def _named(rows: pd.DataFrame, columns: list[str], suffix: str, seed: int) -> dict[str, Mean]:
    values = {f"{name}{suffix}": rows[name].to_numpy() for name in columns}
    return means_of(values, seed, rows["source"].to_numpy(str)) if len(rows) else {}


# ------------------------------------------------------------------------------ ranked lists


def ranked_lists(pairs: pd.DataFrame, searches: pd.DataFrame) -> dict[str, RankedList]:
    """The list of each method: of edited queries, and of all searches for what isn't there.

    An image with the query's label that isn't its original is neither right nor wrong.
    """
    numbers = {name: number for number, name in enumerate(_sources(searches))}
    wanted = of_edits(searches)["source"].map(numbers).to_numpy()
    listed = pairs[~pairs["excused"] & (~pairs["there"] | (pairs["edit"] != CONTROL.edit))]
    lists = {}
    for name in METHODS:
        rows = listed[listed[name].notna()]
        units = rows["source"].map(numbers).to_numpy()
        lists[name] = RankedList(rows[name].to_numpy(), rows["right"].to_numpy(), units, wanted)
    return lists


def curves(pairs: pd.DataFrame, searches: pd.DataFrame) -> dict[str, Curve]:
    """The precision-recall curve of each method."""
    return {name: each.curve() for name, each in ranked_lists(pairs, searches).items()}


def _sources(searches: pd.DataFrame) -> list[str]:
    return sorted(set(searches["source"]))


def _ranked_figures(pairs: pd.DataFrame, searches: pd.DataFrame, seed: int) -> dict[str, Mean]:
    lists, units = ranked_lists(pairs, searches), len(_sources(searches))
    drawn = resampled_figures(lists, units, seed)
    means = {}
    for method, ranked in lists.items():
        for name, value in figures(ranked.curve()).items():
            means[f"{method}:{name}"] = _with_percentiles(value, drawn[method][name], units)
    for name in ("micro_ap", "recall@p99"):
        gain = means[f"all:{name}"].value - means[f"network:{name}"].value
        draws = drawn["all"][name] - drawn["network"][name]
        means[f"gain:{name}"] = _with_percentiles(gain, draws, units)
    return means


def _with_percentiles(value: float, draws: NDArray[np.float64], units: int) -> Mean:
    low, high = np.quantile(draws, [0.025, 0.975]).tolist()
    return Mean(value=value, ci95=(low, high), units=units, method="bootstrap percentiles")


def _recalls_of_methods(pairs: pd.DataFrame, searches: pd.DataFrame, seed: int) -> dict[str, Mean]:
    """How often each method finds the original, by edit, from the confidence on from which its
    whole list has the precision AT."""
    edited = of_edits(searches)
    right = pairs[pairs["right"] & pairs["there"]].set_index(SEARCH)
    means: dict[str, Mean] = {}
    for method, curve in curves(pairs, searches).items():
        confidence = right[method].reindex(pd.MultiIndex.from_frame(edited[SEARCH]))
        name = f"{method}:recall@p{100 * AT:g}"
        found = (confidence >= curve.threshold_at(AT)).to_numpy(float)
        for suffix, rows in groups_of_edits(edited.assign(**{name: found})):
            means |= _named(rows, [name], suffix, seed)
    return means


def operating_curve(
    pairs: pd.DataFrame, searches: pd.DataFrame, method: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ROC curve: at each confidence, the share of searches for what isn't there that name an
    image so surely, and the share of edited queries whose original is named so surely.

    Images with the query's label aren't counted, but for the original.
    """
    edited, absent = of_edits(searches), searches[~searches["there"]]
    right = of_edits(pairs[pairs["right"]])[method].dropna().to_numpy()
    named = pairs[~pairs["there"] & ~pairs["excused"]]
    wrong = named.groupby("query")[method].max().dropna().to_numpy()
    thresholds = np.unique(np.concatenate([right, wrong]))[::-1]
    rates = [
        np.searchsorted(np.sort(-values), -thresholds, side="right") / total
        for values, total in ((wrong, len(absent)), (right, len(edited)))
    ]
    return rates[0], rates[1]
