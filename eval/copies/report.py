"""The report of `copies`: the goals, figures by edit, false alarms, curves, and failures."""

from __future__ import annotations

from bogv.calibration.edits import CONTROL
from bogv.copies.geometry import PART
from bogv.copies.verifier import MAX_HITS
from bogv.imaging.decoder import Decoder
from eval.copies.decision import METHODS, TITLES
from eval.copies.failures import false_alarms, missed
from eval.copies.goals import GOALS, MAX_UPPER_END, MIN_SEARCHES, Goal
from eval.copies.measure import CopiesOutcome
from eval.copies.plots import precision_recall_plot, roc_plot
from eval.copies.ranked import RESAMPLES
from eval.copies.result import Copies, notes
from eval.copies.scoring import (
    AT,
    FALSE_COLUMNS,
    RECALL_COLUMNS,
    curves,
    operating_curve,
)
from eval.copies.tables import of_edits
from eval.report.document import Report, Section, Table
from eval.report.provenance import provenance_section
from eval.report.results import Mean, weights_lead
from eval.statistics.intervals import wilson
from eval.statistics.units import sum_by_unit

INLIERS = (10, 15, PART, 30, 40, 60)
"""Thresholds shown in place of PART."""


def copies_report(outcome: CopiesOutcome, decoder: Decoder) -> Report:
    """The report of a measurement. decoder: for the images shown."""
    result, pairs, searches = outcome.result, outcome.pairs, outcome.searches
    rates = {name: operating_curve(pairs, searches, name) for name in METHODS}
    return Report(
        f"{result.dataset_name}: copies",
        _lead(result),
        [
            Section("What is to be reached", [goals_table(result), _goal_words(result)]),
            Section("Is the original found?", [_by_edit(result), _EDIT_WORDS]),
            Section(
                "Searches for what isn't there",
                [_false_table(outcome), _false_words(result), _by_inliers(outcome)],
            ),
            Section(
                "The methods compared",
                [
                    _methods_table(result),
                    precision_recall_plot(curves(pairs, searches)),
                    roc_plot(rates, result.absent),
                    _METHOD_WORDS,
                ],
            ),
            Section("Missed", missed(outcome, decoder)),
            Section("False alarms", false_alarms(outcome, decoder)),
            Section("How it was measured", _method(result)),
            provenance_section(result),
        ],
    )


def _lead(result: Copies) -> list[str]:
    copy, part = (share(result.metrics[name]) for name in RECALL_COLUMNS)
    found = (
        f"Of {result.n:,} edited images, the original is found as a copy for {copy}, as a copy or a"
        f" part for {part}: {result.sample:,} images in {result.n // result.sample} edits each,"
        f" among {result.gallery:,}."
    )
    false = (
        f"Of {result.absent:,} searches for what isn't there, made from {result.absent_units:,}"
        f" photos, {share(result.metrics['false_copy'], 2)} find a copy."
    )
    return [*weights_lead(result.weights), found, false, *notes(result)]


def share(mean: Mean, digits: int = 1) -> str:
    """`93.1% (90.2% to 95.3%)`: a share with its 95% interval."""
    if mean.ci95 is None:
        return f"{mean.value:.{digits}%}"
    low, high = mean.ci95
    return f"{mean.value:.{digits}%} ({low:.{digits}%} to {high:.{digits}%})"


# ------------------------------------------------------------------------------ goals


def goals_table(result: Copies) -> Table:
    """Each goal whose edits were made, its figure with the interval, and the verdict."""
    rows = [
        [
            goal.title,
            f"{'at most' if goal.at_most else 'at least'} {goal.bound:.1%}",
            share(result.metrics[goal.name], 2),
            verdict(goal, result),
        ]
        for goal in GOALS
        if goal.name in result.metrics
    ]
    return Table(["", "to be reached", "measured, with its 95% interval", ""], rows)


def verdict(goal: Goal, result: Copies) -> str:
    """`reached`, `not reached`, or what keeps the figure from showing it."""
    mean = result.metrics[goal.name]
    if not goal.reached(mean.value):
        return "not reached"
    if goal.at_most and result.absent < MIN_SEARCHES:
        return f"too few searches: {result.absent:,}"
    strict = goal.name in {"false_exact", "false_copy"}
    if strict and mean.ci95 is not None and mean.ci95[1] > MAX_UPPER_END:
        return f"not shown: the interval ends above {MAX_UPPER_END:.1%}"
    return "reached"


def _goal_words(result: Copies) -> str:
    return (
        "Of false alarms by exact files and copies, the interval has to end at"
        f" {MAX_UPPER_END:.1%} or below. Edits of one photo are not independent, so intervals are"
        f" over the photos that queries were made from, {result.absent_units:,} here; without any"
        f" false alarm, it takes 1,300 photos for an interval that ends at {MAX_UPPER_END:.1%}. Of"
        " the others, the figure itself is judged, not an end of its interval."
    )


# ------------------------------------------------------------------------------ by edit

_EDIT_WORDS = (
    "As a copy, as a copy or a part: by the product's own rule. The other columns: named by that"
    f" method alone, as surely as its ranked list needs for a precision of {AT:.0%}."
)


def _by_edit(result: Copies) -> Table:
    names = [CONTROL.name]
    for edit, strengths in result.edits.items():
        names += [edit, *(f"{edit}:{strength}" for strength in strengths if len(strengths) > 1)]
    rows = [[_label(name), *_cells(result, name)] for name in names]
    total = [_cell(result.metrics[name]) for name in RECALL_COLUMNS]
    total += [f"{result.metrics[_at(method)].value:.2f}" for method in METHODS]
    columns = ["edit", "as a copy", "as a copy or a part", *TITLES.values()]
    return Table(columns, [["all edits", *total], *rows])


def _label(name: str) -> str:
    edit, _, strength = name.partition(":")
    return f"· {strength}" if strength else edit


def _cells(result: Copies, name: str) -> list[str]:
    cells = [_cell(result.metrics[f"{each}/{name}"]) for each in RECALL_COLUMNS]
    values = [result.metrics.get(f"{_at(method)}/{name}") for method in METHODS]
    return [*cells, *("" if mean is None else f"{mean.value:.2f}" for mean in values)]


def _at(method: str) -> str:
    return f"{method}:recall@p{100 * AT:g}"


def _cell(mean: Mean) -> str:
    if mean.ci95 is None:
        return f"{mean.value:.3f}"
    return f"{mean.value:.3f} ({mean.ci95[0]:.2f}–{mean.ci95[1]:.2f})"


# ------------------------------------------------------------------------------ false alarms


def _false_table(outcome: CopiesOutcome) -> Table:
    result = outcome.result
    absent = outcome.searches[~outcome.searches["there"]]
    rows = []
    for name in FALSE_COLUMNS:
        mean = result.metrics[name]
        alone = wilson(sum_by_unit(absent[name].to_numpy(), None))
        rows.append(
            [
                name.removeprefix("false_").replace("_", " "),
                f"{int(absent[name].sum()):,} of {len(absent):,}",
                f"{mean.value:.2%}",
                "" if mean.ci95 is None else f"{mean.ci95[0]:.2%} to {mean.ci95[1]:.2%}",
                f"{alone[0]:.2%} to {alone[1]:.2%}",
            ]
        )
    columns = ["or better", "false alarms", "rate", "95% interval", "if searches were independent"]
    return Table(columns, rows)


def _false_words(result: Copies) -> str:
    return (
        "Edited and unedited images of the gallery with the original taken out, and the dataset's"
        " own queries where they aren't in the gallery. A part does not count images that bear the"
        " query's label"
        + (
            ": other photos of the same thing."
            if result.labels_are == "instance"
            else ", which here is its class; the last row counts them."
        )
    )


def _by_inliers(outcome: CopiesOutcome) -> Table:
    """What another threshold than PART would give, of geometry alone."""
    pairs, searches = outcome.pairs, outcome.searches
    absent, edited = searches[~searches["there"]], of_edits(searches)
    wrong = pairs[~pairs["there"] & ~pairs["right"]]
    right = of_edits(pairs[pairs["right"]])
    rows = []
    for inliers in INLIERS:
        named = wrong[wrong["inliers"] >= inliers]
        lenient = named.loc[~named["excused"], "query"].nunique()
        values = [lenient / len(absent), named["query"].nunique() / len(absent)]
        values.append(float((right["inliers"] >= inliers).sum() / len(edited)))
        rows.append([str(inliers), *(f"{value:.2%}" for value in values)])
    columns = ["inliers", "false alarms", "of any label", "originals found by geometry"]
    return Table(columns, rows, "Geometry alone, with other thresholds.")


# ------------------------------------------------------------------------------ methods

_METHOD_WORDS = (
    "One list of all (query, image) pairs of a method, the surest first, as in the DISC21 challenge"
    " (Douze et al. 2021, arXiv:2106.09672): edited queries whose original is there, and all"
    " searches for what isn't. micro-AP is the area under its precision-recall curve; the recalls"
    " are the highest with at least that precision. Confidences: 256 less the bits that differ;"
    " inliers; cosine; all together, exact before copies (by bits), before parts (by inliers),"
    " before the others (by cosine). Images with the query's label other than its original are left"
    " out, for all methods."
)


def _methods_table(result: Copies) -> Table:
    names = ["micro_ap", "recall@p90", "recall@p99", "recall@p99.9"]
    rows = [
        [TITLES[method], *(_cell(result.metrics[f"{method}:{name}"]) for name in names)]
        for method in METHODS
    ]
    gains = [result.metrics.get(f"gain:{name}") for name in names]
    rows.append(["all less network", *("" if gain is None else _cell(gain) for gain in gains)])
    heads = ["micro-AP", "recall at 90%", "at 99%", "at 99.9% precision"]
    return Table(["", *heads], rows)


# ------------------------------------------------------------------------------ words


def _method(result: Copies) -> list[str]:
    queries = (
        f"{result.sample:,} images were drawn from the {result.gallery:,} (seed {result.seed}) and"
        " edited as by eval robustness; all images of the gallery are queries unedited, too. Each"
        " query is searched for with its original in the gallery, and with it taken out, along"
        " with copies of equal bytes or pixels."
    )
    evidence = (
        f"As in the product, the network's first {MAX_HITS} hits (by exact search) and all images"
        f" whose hash is near ({result.thresholds['borderline_bits']:g} bits) are looked at, as"
        " their thumbnails show them. Here all of them are verified by geometry; the product"
        " verifies of those that only the hash finds the nearest few."
    )
    intervals = (
        "Intervals of shares are over the photos that queries were made from; those of ranked lists"
        f" are percentiles of {RESAMPLES} draws of photos."
    )
    return [queries, evidence, intervals]
