"""The report of `robustness`: a heat table, the edits to look at, and the worst failures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from bogv.calibration.edits import CONTROL, EDITS
from bogv.imaging.decoder import Decoder
from eval.chance import chance
from eval.report.document import Figure, Report, Section, Strip, Table, Tile
from eval.report.plots import render
from eval.report.results import Mean, describe_place, weights_lead
from eval.robustness.measure import RobustnessOutcome
from eval.robustness.result import HEADLINE, EditedQueryResult, Robustness, notes

TILE = 240
"""Pixels of a tile's long side."""
FAILURES = 10
SHOWN = 3
"""Hits shown per failure."""
COLOURS = "cividis"
"""Made for the colour-blind: Nuñez, Anderton, Renslow, PLoS ONE 13(7), 2018."""


def robustness_report(outcome: RobustnessOutcome, decoder: Decoder) -> Report:
    """The report of a measurement. decoder: for the images shown."""
    result = outcome.result
    return Report(
        f"{result.dataset_name}: robustness",
        _lead(result),
        [
            Section(
                "How often the original is ranked first", [heat_table(result), _heat_words(result)]
            ),
            Section("The edits, weakest first", [_by_edit(result)]),
            Section("What the edits look like", _looks(outcome, decoder)),
            Section("Failures", _failures(outcome, decoder)),
            Section("All figures, weakest first", [_by_strength(outcome)]),
            Section("How it was measured", _method(result)),
        ],
    )


def _lead(result: Robustness) -> list[str]:
    lead = weights_lead(result.weights)
    lead.append(
        f"The original is ranked first for {result.headline.value:.1%} of {result.n:,} edited"
        f" images (95% interval {_interval(result.headline, percent=True)}): {result.sample:,}"
        f" images in {result.n // result.sample} edits each, among {result.gallery:,} images,"
        f" {describe_place(result.root)}."
    )
    level = chance(HEADLINE, 1, result.gallery)
    lead.append(
        f"Chance, the gallery in a random order, is {level:.2%} where an original has no copy."
    )
    return lead + notes(result)


# ------------------------------------------------------------------------------ figures


def heat_table(result: Robustness) -> Figure:
    """hit_rate@1 with edits as rows and a labelled cell for each strength."""
    rows = {CONTROL.edit: [CONTROL.strength], **result.edits}
    values = np.full((len(rows), max(map(len, rows.values()))), np.nan)
    for row, (edit, strengths) in enumerate(rows.items()):
        for column, strength in enumerate(strengths):
            values[row, column] = _value(result, edit, strength)

    def draw(axes: Axes) -> None:
        colours = mpl.colormaps[COLOURS]
        shown = axes.pcolormesh(values, cmap=colours, vmin=0, vmax=1, edgecolor="white", lw=3)
        for row, strengths in enumerate(rows.values()):
            for column, strength in enumerate(strengths):
                _write_cell(axes, (column, row), values[row, column], strength)
        axes.set_yticks(np.arange(len(rows)) + 0.5, [_row_label(edit) for edit in rows])
        axes.set_xticks([])
        axes.set_xlabel("strength, as labelled in each cell")
        axes.tick_params(length=0)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.figure.colorbar(
            shown, ax=axes, label="hit_rate@1: share of originals found first", aspect=40, pad=0.02
        )

    height = 1 + 0.72 * len(rows)
    alt = f"Heat table of {HEADLINE} by edit and strength; its figures are in the table below."
    return Figure("robustness", render(draw, width=10.5, height=height), alt)


def _write_cell(axes: Axes, cell: tuple[int, int], value: float, strength: str) -> None:
    x, y = cell[0] + 0.5, cell[1]
    ink = "black" if value > 0.45 else "white"  # the better contrast on cividis
    label = strength.replace("+", "\n+ ") if "+" in strength[1:] else strength
    lines = label.count("\n") + bool(label)
    value_at, label_at = ((0.5, 0.5), (0.34, 0.74), (0.25, 0.67))[lines]
    axes.text(x, y + value_at, f"{value:.2f}", ha="center", va="center", color=ink, size=17)
    axes.text(x, y + label_at, label, ha="center", va="center", color=ink, size=12)


def _row_label(edit: str) -> str:
    unit = EDITS[edit].unit if edit in EDITS else "control"
    return f"{edit}\n{unit}" if unit else edit


def _heat_words(result: Robustness) -> str:
    points = 100 * _half_width(result.sample)
    return (
        "Each row is an edit, each cell one of its strengths with the share of originals ranked"
        f' first; "{CONTROL.name}" is the unedited image and must be 1. With {result.sample:,}'
        f" images, the 95% interval of a share of one half is ± {points:.0f} points."
    )


def _half_width(sample: int) -> float:
    """Half of the 95% interval of a share of one half, by the normal approximation."""
    return 1.96 * math.sqrt(0.25 / sample)


# ------------------------------------------------------------------------------ tables


def _by_edit(result: Robustness) -> Table:
    names = [name for name in result.metrics if "/" not in name]
    rows = []
    for edit in sorted(result.edits, key=lambda edit: _value(result, edit)):
        means = [result.metrics[f"{name}/{edit}"] for name in names]
        values = {strength: _value(result, edit, strength) for strength in result.edits[edit]}
        worst = min(values, key=values.__getitem__)
        alike = values[worst] == max(values.values())
        rows.append(
            [
                edit,
                f"{means[0].value:.3f}",
                _interval(means[0]),
                *(f"{mean.value:.3f}" for mean in means[1:]),
                "all alike" if alike else f"{worst}: {values[worst]:.2f}",
            ]
        )
    columns = ["edit", names[0], "95% interval", *names[1:], "weakest at"]
    return Table(columns, rows, "Means over all strengths of an edit.")


def _by_strength(outcome: RobustnessOutcome) -> Table:
    result = outcome.result
    names = [name for name in result.metrics if "/" not in name]
    ranks: dict[str, list[float]] = {}
    for query_result in outcome.query_results:
        rank = math.inf if query_result.rank is None else query_result.rank
        ranks.setdefault(query_result.variant.name, []).append(rank)
    rows = []
    for name in sorted(ranks, key=lambda name: result.metrics[f"{HEADLINE}/{name}"].value):
        means = [result.metrics[f"{metric}/{name}"] for metric in names]
        rows.append(
            [
                name,
                f"{means[0].value:.2f}",
                _interval(means[0]),
                *(f"{mean.value:.2f}" for mean in means[1:]),
                _rank(float(np.median(ranks[name]))),
                _rank(max(ranks[name])),
            ]
        )
    columns = ["edit", names[0], "95% interval", *names[1:], "median rank", "worst rank"]
    return Table(columns, rows)


def _rank(rank: float) -> str:
    return "not found" if math.isinf(rank) else f"{rank:g}"


def _interval(mean: Mean, percent: bool = False) -> str:
    if mean.ci95 is None:
        return "none"
    low, high = mean.ci95
    return f"{low:.1%} to {high:.1%}" if percent else f"{low:.2f}–{high:.2f}"


def _value(result: Robustness, edit: str, strength: str = "") -> float:
    name = f"{edit}:{strength}" if strength else edit
    return result.metrics[f"{HEADLINE}/{name}"].value


# ------------------------------------------------------------------------------ pictures


def _looks(outcome: RobustnessOutcome, decoder: Decoder) -> list[str | Strip]:
    """All edits of the first sampled image, one strip per edit."""
    items, result = outcome.edited.dataset.items, outcome.result
    first = outcome.query_results[0].image
    strips = []
    for edit in result.edits:
        tiles = [
            Tile(
                shrink(decoder, items[query_result.query].read()),
                f"{query_result.variant.strength}: found"
                f" {_value(result, edit, query_result.variant.strength):.0%}",
            )
            for query_result in outcome.query_results
            if query_result.image == first and query_result.variant.edit == edit
        ]
        strips.append(Strip(f"edit-{edit}", tiles, f"{edit}: {EDITS[edit].what}"))
    return [
        f"One image of the sample ({first}), with how often all originals were ranked first.",
        *strips,
    ]


def worst_queries(query_results: Sequence[EditedQueryResult]) -> list[EditedQueryResult]:
    """The edited image of each edit whose original has the lowest rank, the worst of them first.

    One per edit, since otherwise all would be of the hardest edit.
    """
    failed = [
        query_result
        for query_result in query_results
        if query_result.variant != CONTROL and query_result.rank != 1
    ]
    failed.sort(
        key=lambda query_result: -math.inf if query_result.rank is None else -query_result.rank
    )
    first: dict[str, EditedQueryResult] = {}
    for query_result in failed:
        first.setdefault(query_result.variant.edit, query_result)
    return list(first.values())[:FAILURES]


def _failures(outcome: RobustnessOutcome, decoder: Decoder) -> list[str | Strip]:
    strips = [
        Strip(f"failure-{number}", _failure(outcome, query_result, decoder))
        for number, query_result in enumerate(worst_queries(outcome.query_results), 1)
    ]
    if not strips:
        return ["None: every edited image found its original first."]
    words = (
        "For each edit, the query whose original has the lowest rank, the worst first: the edited"
        " image, the top three hits, and the original with its rank."
    )
    return [words, *strips]


def _failure(
    outcome: RobustnessOutcome, query_result: EditedQueryResult, decoder: Decoder
) -> list[Tile]:
    items = outcome.edited.dataset.items
    by_id = {items[index].id: items[index] for index in outcome.edited.dataset.gallery}
    right = {
        items[index].id for index in outcome.edited.dataset.relevant(query_result.query).tolist()
    }
    tiles = [
        Tile(shrink(decoder, items[query_result.query].read()), query_result.variant.name, "query")
    ]
    for rank, (name, score) in enumerate(
        zip(query_result.top_ids[:SHOWN], query_result.top_scores, strict=False), 1
    ):
        mark = "right" if name in right else "wrong"
        caption = f"rank {rank}, similarity {score:.4f}: {name}"
        tiles.append(Tile(shrink(decoder, by_id[name].read()), caption, mark))
    if query_result.rank is None or query_result.rank > SHOWN:
        rank_text = "not found" if query_result.rank is None else f"rank {query_result.rank:,}"
        cosine = (
            "" if query_result.similarity is None else f", similarity {query_result.similarity:.4f}"
        )
        # If a copy was found instead, it has the same pixels.
        image = shrink(decoder, by_id[query_result.image].read())
        name = query_result.found_id or query_result.image
        tiles.append(Tile(image, f"{rank_text}{cosine}: {name}", "right"))
    return tiles


def shrink(decoder: Decoder, data: bytes) -> bytes:
    """An image's bytes -> a JPEG of at most 240 pixels."""
    image = decoder.decode_upright(data)[0]
    image.thumbnail((TILE, TILE))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


# ------------------------------------------------------------------------------ words


def _method(result: Robustness) -> list[str]:
    deep = "the whole gallery" if result.depth is None else f"the top {result.depth:,} ranks"
    queries = (
        f"{result.sample:,} images were drawn from the {result.gallery:,} (seed {result.seed}),"
        " scaled down where they are over 512 pixels on the short side, edited, encoded as PNG or,"
        " where the edit is a JPEG, as that, and searched for like any upload: bogv's own decoder"
        f" and embedder ({result.engine}), search by {result.backend} over {deep}."
    )
    right = (
        "The rank of an edited image's original is that of the original or of a copy with the same"
        " bytes or pixels. Another photo of the same thing counts as wrong."
    )
    intervals = "The 95% intervals are over originals, each with all of its edits."
    return [queries, right, intervals, f"Command: {result.command}"]
