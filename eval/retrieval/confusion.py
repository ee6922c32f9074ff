"""Which classes queries are mistaken for: the top hits that are not relevant, by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from eval.data.datasets import Dataset
from eval.report.document import Figure, Strip
from eval.report.plots import GREY, render
from eval.retrieval.failures import Pictures
from eval.retrieval.plots import shorten
from eval.retrieval.scoring import TOP, QueryResult

CONFUSION = "confusion.parquet"
COLUMNS = ["query_class", "hit_class", "hits", "share"]
MAX_CLASSES = 40
"""More have no heat map."""
WRITTEN = 15
"""More classes have no figures in the cells of the heat map."""
PAIRS = 10
UNLABELLED = "(no label)"
COLOURS = "cividis"


@dataclass(frozen=True)
class _Mistake:
    """A hit that isn't relevant."""

    query_class: str
    hit_class: str
    rank: int
    score: float
    query: str
    hit: str


@dataclass(frozen=True)
class Confusion:
    """The non-relevant images among the top k, by the class of the query and of the image."""

    k: int
    mistakes: list[_Mistake]
    hits: dict[str, int]
    """By query class: all images among the top k of its queries."""

    @property
    def table(self) -> pd.DataFrame:
        """A row for each pair of classes that occurs, the most frequent first, then by name.

        `hits` that are no relevant image, and their `share` of the query class's top k, 0 to 1.
        """
        pairs = pd.DataFrame(
            [(each.query_class, each.hit_class) for each in self.mistakes], columns=COLUMNS[:2]
        )
        counts = pairs.value_counts().rename("hits").reset_index()
        counts["share"] = counts["hits"] / counts["query_class"].map(self.hits)
        return counts.sort_values(
            ["hits", "query_class", "hit_class"], ascending=[False, True, True], ignore_index=True
        )[COLUMNS]

    def example(self, query_class: str, hit_class: str) -> _Mistake:
        """The mistake of this pair that ranks highest, of several the most similar one."""
        pair = (query_class, hit_class)
        return min(
            (each for each in self.mistakes if (each.query_class, each.hit_class) == pair),
            key=lambda each: (each.rank, -each.score, each.query),
        )


def count_confusion(
    dataset: Dataset, query_results: Sequence[QueryResult], headline: str
) -> Confusion | None:
    """The mistakes among the top k: the headline's own k, at most 10, or 10 where it has none.

    None where a query has no label, or where all have the same.
    """
    _, _, own = headline.partition("@")
    k = min(int(own), TOP) if own.isdigit() else TOP
    classes = {each.label for each in query_results}
    if None in classes or len(classes) < 2:
        return None
    labels = {item.id: item.label or UNLABELLED for item in dataset.items}
    hits = dict.fromkeys(sorted(str(name) for name in classes), 0)
    for each in query_results:
        hits[str(each.label)] += len(each.top_ids[:k])
    mistakes = [found for each in query_results for found in _mistakes(each, labels, k)]
    return Confusion(k, mistakes, hits)


def _mistakes(result: QueryResult, labels: dict[str, str], k: int) -> list[_Mistake]:
    top = zip(result.top_ids[:k], result.top_scores[:k], strict=True)
    return [
        _Mistake(str(result.label), labels[hit], rank, score, result.query, hit)
        for rank, (hit, score) in enumerate(top, 1)
        if rank not in result.relevant_places
    ]


# ------------------------------------------------------------------------------ report


def confusion_strips(confusion: Confusion, pictures: Pictures) -> list[Strip]:
    """The most confused pairs, each with its example.

    Raises OSError and bogv's errors for an image that can no longer be read.
    """
    strips = []
    for number, row in enumerate(confusion.table.head(PAIRS).itertuples(), 1):
        example = confusion.example(str(row.query_class), str(row.hit_class))
        rank = f"rank {example.rank} · cosine {example.score:.4f}"
        tiles = [
            pictures.tile(example.query, "", "query"),
            pictures.tile(example.hit, rank, "wrong"),
        ]
        caption = (
            f"{number}. {row.query_class} mistaken for {row.hit_class}: {row.hits:,} hits,"
            f" {row.share:.1%} of the {confusion.hits[str(row.query_class)]:,} of its queries."
        )
        strips.append(Strip(f"confused-{number}", tiles, caption))
    return strips


def confusion_figure(confusion: Confusion) -> Figure | None:
    """The heat map; None where there are more than 40 classes."""
    names = sorted({*confusion.hits, *(each.hit_class for each in confusion.mistakes)})
    if len(names) > MAX_CLASSES:
        return None
    rows = [name for name in names if name in confusion.hits]
    shares = np.zeros((len(rows), len(names)))
    for each in confusion.mistakes:
        cell = rows.index(each.query_class), names.index(each.hit_class)
        shares[cell] += 100 / confusion.hits[each.query_class]
    side = max(6.0, 3.0 + (0.5 if len(names) <= WRITTEN else 0.36) * len(names))
    return Figure(
        "confusion",
        render(lambda axes: _draw(axes, shares, rows, names), width=side + 1.5, height=side),
        f"Heat map of {len(rows)} query classes and the {len(names)} classes of their top"
        f" {confusion.k} hits that are not relevant; the most confused pairs are listed below.",
    )


def _draw(axes: Axes, shares: NDArray[np.float64], rows: list[str], names: list[str]) -> None:
    own = [(row, names.index(name)) for row, name in enumerate(rows)]
    shown = np.ma.masked_array(shares)
    for cell in own:
        if not shares[cell]:
            shown[cell] = np.ma.masked
    colours = mpl.colormaps[COLOURS].with_extremes(bad="#E4E7EB")
    highest = float(shares.max()) or 1.0
    mesh = axes.pcolormesh(shown, cmap=colours, vmin=0, vmax=highest, edgecolor="white", lw=1.5)
    if len(names) <= WRITTEN:
        for (row, column), share in np.ndenumerate(shares):
            if share:
                ink = "black" if share > 0.45 * highest else "white"
                at = column + 0.5, row + 0.5
                axes.text(*at, f"{share:.0f}", ha="center", va="center", color=ink, size=13)
    axes.set_xticks(np.arange(len(names)) + 0.5, [shorten(name) for name in names], rotation=90)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [shorten(name) for name in rows])
    axes.set(xlabel="class of the wrong hit", ylabel="class of the query")
    axes.tick_params(length=0)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_aspect("equal")
    label = "wrong hits, % of the query class's top hits"
    bar = axes.figure.colorbar(mesh, ax=axes, label=label, aspect=40, pad=0.02, shrink=0.8)
    bar.outline.set_edgecolor(GREY)
