"""The report of judgements: each setting's figures, their differences, what is not judged."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from eval.judging.result import Judged, ScoredSetting
from eval.judging.scoring import LENIENT, METRICS, NDCG, PRECISION
from eval.report.document import Figure, Report, Section, Table
from eval.report.plots import COLOURS, GREY, MARKERS, render
from eval.report.provenance import provenance_section
from eval.report.results import UNTRAINED_NOTE, interval_text, weights_text

EXPLAINED = {
    PRECISION: "share of the first {k} that was judged relevant",
    LENIENT: "share of the first {k} that was judged relevant or partly so",
    NDCG: "discounted gain of the first {k} (relevant 2, partly 1), as a share of the best possible"
    " order of the pool's images",
}


def judge_report(result: Judged) -> Report:
    """What the judgements say, for people."""
    sections = [
        Section("Metrics", [_figure(result), _metrics(result)]),
        Section("Comparisons", [_comparisons(result)]) if result.comparisons else None,
        Section("Judgements", [_judgements(result)]),
        Section("Settings", [_settings(result)]),
        provenance_section(result),
    ]
    return Report(
        f"{result.pool}: judged by eye",
        _lead(result),
        [section for section in sections if section is not None],
    )


def notes(result: Judged) -> list[str]:
    """What has to be known before a figure is believed."""
    found = []
    if any(not each.setting.weights.trained for each in result.settings):
        found.append(UNTRAINED_NOTE)
    k = result.k[-1]
    if unjudged := {
        each.setting.label: each.unjudged[str(k)]
        for each in result.settings
        if each.unjudged[str(k)]
    }:
        listed = ", ".join(f"{label} {count:,}" for label, count in unjudged.items())
        found.append(
            f"CAUTION: of the {result.n * k:,} results in the top {k} of each setting, some are not"
            f" judged yet ({listed}). They count as not relevant; the bounds say what they could"
            " change."
        )
    if result.n < result.queries:
        found.append(
            f"CAUTION: {result.queries - result.n:,} of {result.queries:,} queries have no"
            " judgement yet and are left out."
        )
    if result.without_relevant:
        found.append(
            f"For {result.without_relevant:,} of the {result.n:,} queries, nothing that any setting"
            " found was judged relevant or partly so: they count 0."
        )
    if result.foreign:
        found.append(f"{result.foreign:,} judgements are of no pair of this pool: left out.")
    return found


def _lead(result: Judged) -> list[str]:
    weights = "; ".join(
        f"{each.setting.label}: {weights_text(each.setting.weights)},"
        f" fingerprint {each.setting.weights.fingerprint}"
        for each in result.settings
    )
    k = result.k[-1]
    means = "; ".join(
        f"{each.setting.label} {_mean_text(result, f'{PRECISION}@{k}', each)}"
        for each in result.settings
    )
    headline = (
        f"{PRECISION}@{k}, 95% intervals: {means}; over {result.n:,} queries of"
        f" {result.dataset} ({EXPLAINED[PRECISION].format(k=k)})."
    )
    return [f"Weights: {weights}.", *notes(result), headline]


def _mean_text(result: Judged, metric: str, setting: ScoredSetting) -> str:
    mean = result.metrics[f"{metric}/{setting.setting.label}"]
    return f"{mean.value:.4f} {interval_text(mean)}"


def _metrics(result: Judged) -> Table:
    rows = [
        [
            f"{metric}@{k}",
            each.setting.label,
            f"{mean.value:.4f}",
            interval_text(mean),
            "{:.4f} to {:.4f}".format(*each.bounds[f"{metric}@{k}"]),
            EXPLAINED[metric].format(k=k),
        ]
        for metric in METRICS
        for k in result.k
        for each in result.settings
        for mean in [result.metrics[f"{metric}@{k}/{each.setting.label}"]]
    ]
    return Table(
        ["metric", "setting", "mean", "95% interval", "bounds", "what it is"],
        rows,
        "Intervals are over queries. Bounds: where the mean can lie at most once everything is"
        " judged.",
    )


def _comparisons(result: Judged) -> Table:
    rows = []
    for each in result.comparisons:
        ends = "none" if each.ci95 is None else f"[{each.ci95[0]:+.4f}, {each.ci95[1]:+.4f}]"
        found = "" if each.detectable is None else f"{each.detectable:.4f}"
        rows.append(
            [
                f"{each.b} against {each.a}",
                each.metric,
                f"{each.difference:+.4f}",
                ends,
                f"{each.p:.4f}",
                found,
                each.verdict,
            ]
        )
    return Table(
        ["settings", "metric", "difference", "95% interval", "p", "detectable", "verdict"],
        rows,
        "Query by query; p is two-sided, of a test that flips signs, corrected by Holm's method for"
        " all rows; intervals are not corrected. Detectable: the difference that would be found in"
        " 4 of 5 such comparisons.",
    )


def _judgements(result: Judged) -> Table:
    rows = [
        ["to judge", f"{result.pairs:,} results of {result.queries:,} queries"],
        ["judged", f"{result.judged:,}"],
        *([word, f"{count:,}"] for word, count in result.grades.items()),
        ["queries scored", f"{result.n:,}"],
        ["of these with nothing relevant", f"{result.without_relevant:,}"],
        *(
            [f"unjudged in the top {k}, setting {each.setting.label}", f"{count:,}"]
            for each in result.settings
            for k, count in each.unjudged.items()
        ),
    ]
    return Table(["", ""], rows)


def _settings(result: Judged) -> Table:
    return Table(
        ["setting", "options of `run`", "weights", "fingerprint"],
        [
            [
                each.setting.label,
                each.setting.name,
                weights_text(each.setting.weights),
                each.setting.weights.fingerprint,
            ]
            for each in result.settings
        ],
        f"The first {result.depth:,} results of each were pooled.",
    )


def _figure(result: Judged) -> Figure:
    k = result.k[-1]
    means = "; ".join(
        f"{metric}@{k} of {each.setting.label}:"
        f" {result.metrics[f'{metric}@{k}/{each.setting.label}'].value:.3f}"
        for metric in METRICS
        for each in result.settings
    )
    height = 1.8 + 0.32 * len(METRICS) * (len(result.settings) + 1)
    return Figure("settings", render(lambda axes: _draw(axes, result), height=height), means)


def _draw(axes: Axes, result: Judged) -> None:
    """A row for each setting and metric: the mean, its interval, and faintly its bounds."""
    k, count = result.k[-1], len(result.settings)
    for place, each in enumerate(result.settings):
        label = each.setting.label
        positions = [row * (count + 1) + place for row in range(len(METRICS))]
        means = [result.metrics[f"{metric}@{k}/{label}"] for metric in METRICS]
        values = np.array([mean.value for mean in means])
        low, high = np.array([mean.ci95 or (mean.value, mean.value) for mean in means]).T
        bounds = np.array([each.bounds[f"{metric}@{k}"] for metric in METRICS])
        axes.hlines(positions, bounds[:, 0], bounds[:, 1], color=GREY, alpha=0.35, linewidth=9)
        axes.errorbar(
            values,
            positions,
            xerr=np.maximum([values - low, high - values], 0),
            fmt=MARKERS[place % len(MARKERS)],
            color=COLOURS[place % len(COLOURS)],
            capsize=4,
            label=f"{label}: {each.setting.name}",
        )
    middles = [row * (count + 1) + (count - 1) / 2 for row in range(len(METRICS))]
    axes.set_yticks(middles, [f"{metric}@{k}" for metric in METRICS])
    axes.set_ylim(len(METRICS) * (count + 1) - 1, -1)
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 1.02), xlabel="mean (line: 95% interval; grey: bounds by what is unjudged)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)
