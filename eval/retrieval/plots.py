"""The plots of a run: how far down to look, which classes are hard, how alike pairs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from eval.report.document import Figure, plain
from eval.report.plots import BLUE, GREEN, GREY, RED, render
from eval.report.results import UPPER
from eval.retrieval.curves import Curve, Curves
from eval.retrieval.similarities import Bins, Similarities, coarse, quantile
from eval.statistics.intervals import mean_summary

SHOWN = 24
"""So many classes have bars of their own; of more, the best and the worst dozen."""
NAME = 30
"""Letters of a class's name."""


# ------------------------------------------------------------------------------ recall@k


def curve_figure(found: Curves) -> Figure:
    """hit_rate@k and recall@k over k."""
    k, hit, recall = found.ks[-1], found.hit_rate[-1, 0], found.recall[-1, 0]
    return Figure(
        "recall-at-k",
        render(lambda axes: _draw_curves(axes, found), height=6.2),
        f"hit_rate@k rises from {found.hit_rate[0, 0]:.3f} at k = 1 to {hit:.3f} at k = {k};"
        f" recall@k from {found.recall[0, 0]:.3f} to {recall:.3f}.",
    )


def _draw_curves(axes: Axes, found: Curves) -> None:
    ks = found.ks
    curve(
        axes,
        ks,
        found.hit_rate,
        "hit_rate@k: queries with something right in the first k",
        BLUE,
        "o-",
    )
    curve(
        axes,
        ks,
        found.recall,
        "recall@k: share of relevant images (bands: 95% intervals)",
        RED,
        "s-",
    )
    if (found.best < 1).any():
        axes.plot(ks, found.best, ":", color=GREY, label="the best that recall@k can be here")
    k_axis(axes, found.ks[-1])
    axes.set(ylim=(0, 1.02), ylabel="mean over queries")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)


def curve(axes: Axes, ks: Sequence[int], means: Curve, label: str, colour: str, style: str) -> None:
    """One curve over k with its band. style: marker and line, as matplotlib's `o-` or `s--`."""
    axes.plot(ks, means[:, 0], style, color=colour, label=label)
    axes.fill_between(ks, means[:, 1], means[:, 2], color=colour, alpha=0.2, linewidth=0)


def k_axis(axes: Axes, deepest: int) -> None:
    """k on a logarithmic axis, since the first few ranks matter most."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(
        FixedLocator([k for k in (1, 2, 3, 5, 10, 20, 30, 50, 100) if k <= deepest])
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("k: top ranks (logarithmic)")


# ------------------------------------------------------------------------------ classes


@dataclass(frozen=True)
class ClassMean:
    """How one class does."""

    name: str
    queries: int
    value: float
    ci95: tuple[float, float] | None
    """None for a class of one query."""


@dataclass(frozen=True)
class Classes:
    """The classes with bars of their own, best first, and a word on those between."""

    best: list[ClassMean]
    worst: list[ClassMean]
    """Empty where all are among the best."""
    between: list[float]
    """The means of the others."""


def rank_classes(queries: pd.DataFrame, metric: str, seed: int) -> Classes | None:
    """The classes by their mean of the metric; None where there are no two of them.

    Of equals the first by name comes first. Intervals are over the queries of the class.
    """
    if queries["label"].isna().any() or queries["label"].nunique() < 2:
        return None
    values = {str(name): group.to_numpy() for name, group in queries.groupby("label")[metric]}
    ranked = sorted(values, key=lambda name: (-values[name].mean(), name))
    half = SHOWN // 2
    ends = (ranked, []) if len(ranked) <= SHOWN else (ranked[:half], ranked[-half:])
    best, worst = (
        [
            ClassMean(
                name,
                values[name].size,
                float(values[name].mean()),
                mean_summary(values[name], None, seed, UPPER.get(metric, 1.0))["ci95"],
            )
            for name in names
        ]
        for names in ends
    )
    between = ranked[len(best) : len(ranked) - len(worst)]
    return Classes(best, worst, [float(values[name].mean()) for name in between])


def class_figure(found: Classes, metric: str) -> Figure:
    """A bar a class, best on top."""
    ends = [*found.best, *found.worst]
    rows = len(ends) + bool(found.between)
    return Figure(
        "classes",
        render(lambda axes: _draw_classes(axes, found, metric), height=1.6 + 0.4 * rows),
        f"{metric} runs from {ends[-1].value:.3f} for class {plain(ends[-1].name)} to"
        f" {ends[0].value:.3f} for class {plain(ends[0].name)}.",
    )


def _draw_classes(axes: Axes, found: Classes, metric: str) -> None:
    gap = 1 if found.between else 0
    below = len(found.best) + gap
    positions = [*range(len(found.best)), *range(below, below + len(found.worst))]
    bars = [*found.best, *found.worst]
    means = np.array([each.value for each in bars])
    low, high = np.array([each.ci95 or (each.value, each.value) for each in bars]).T
    whiskers = np.maximum([means - low, high - means], 0)
    style = {"ecolor": "#333333", "elinewidth": 1.5, "capsize": 3}
    axes.barh(positions, means, height=0.72, color=BLUE, alpha=0.75, xerr=whiskers, error_kw=style)
    labels = [f"{shorten(each.name)} ({each.queries:,})" for each in bars]
    if found.between:
        middle = float(np.mean(found.between))
        axes.barh(
            [len(found.best)], [middle], height=0.72, color="none", edgecolor=GREY, hatch="//"
        )
        positions.append(len(found.best))
        labels.append(f"mean of the {len(found.between):,} between")
    axes.set_yticks(positions, labels)
    axes.set_ylim(max(positions) + 0.7, -0.7)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for position, mean, end in zip(positions, means, high, strict=False):  # not the one between
        axes.annotate(
            f"{mean:.2f}", (end, position), (6, 0), textcoords="offset points", va="center"
        )
    axes.set_xlim(0, 1.12 * max(1.0, float(high.max())))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set(xlabel=f"{metric}, mean of the class (line: 95% interval)", ylabel="class (queries)")


def shorten(name: str) -> str:
    """A class's name as one line of at most 30 letters, for an axis."""
    name = plain(name)
    return name if len(name) <= NAME else f"{name[: NAME - 9]}…{name[-8:]}"


# ------------------------------------------------------------------------------ similarities


def similarity_figure(found: Similarities) -> Figure:
    """How alike relevant and irrelevant pairs are."""
    return Figure(
        "similarities",
        render(lambda axes: _draw_similarities(axes, found), height=6),
        f"Median cosine of relevant pairs {median(found.relevant)}, of irrelevant pairs"
        f" {median(found.irrelevant)}.",
    )


def median(bins: Bins) -> str:
    """The median cosine, to the digits that tell it apart from 1."""
    return f"{quantile(bins, 0.5):.5f}".rstrip("0") if bins.any() else "–"


def _draw_similarities(axes: Axes, found: Similarities) -> None:
    edges = found.edges()
    kinds = (
        ("irrelevant", found.irrelevant, RED, "--"),
        ("relevant", found.relevant, GREEN, "-"),
    )
    for name, bins, colour, line in kinds:
        if bins.any():
            share = coarse(bins, edges)
            text = f"{name} pairs ({int(bins.sum()):,}), median {median(bins)}"
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.25)
            axes.stairs(share, edges, color=colour, linewidth=2, linestyle=line, label=text)
            axes.axvline(quantile(bins, 0.5), color=colour, linewidth=1.5, linestyle=line)
    axes.ticklabel_format(axis="x", useOffset=False)
    axes.set_xlim(edges[0], edges[-1])
    axes.set(xlabel="cosine similarity of query and image", ylabel="share of the pairs, % a bin")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=1)
