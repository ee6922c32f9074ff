"""The report of a run."""

from __future__ import annotations

import pandas as pd

from bogv.imaging.decoder import Decoder
from eval.report.document import Block, Report, Section, Table
from eval.report.provenance import provenance_section
from eval.report.results import Mean, weights_lead
from eval.retrieval.ablation_result import ablation_table
from eval.retrieval.curves import compute_curves
from eval.retrieval.failures import failure_strips
from eval.retrieval.measure import RetrievalOutcome, leak_note
from eval.retrieval.plots import (
    class_figure,
    curve_figure,
    median,
    rank_classes,
    similarity_figure,
)
from eval.retrieval.result import Run, query_table
from eval.retrieval.similarities import Similarities

EXPLAINED = {
    "hit_rate@": "share of queries with a relevant image in {ranks}",
    "recall@": "share of all relevant images that are in {ranks}",
    "precision@": "share of relevant images in {ranks}",
    "ndcg@": "discounted gain of {ranks}, as a share of the best possible",
    "r_precision": "share of relevant images in the top R; R: number of relevant images",
    "map@r": "average precision over the top R",
    "map_trapezoid": "average precision over the whole ranking, trapezoidal rule",
    "map": "average precision over the whole ranking, rectangle rule",
    "mrr": "1 / rank of the first relevant image",
    "ns": "how many of a group of four are in the top four, including the query",
}
PROTOCOLS = {
    "leave-one-out": "each image searches all others; relevant: the same label",
    "query-gallery": "queries search a gallery; relevant: the same label",
    "revisited": "queries search a gallery; junk is removed before scoring",
    "copy": "an edited copy searches for its original",
    "groups-of-four": "each image searches all others, three of which show the same",
}
OVERLAPS = {
    "images": "CAUTION: this dataset shares images with ImageNet-1k, on which the usual weights"
    " were trained. Where they made a figure, it flatters: the network has seen some of them.",
    "classes": "CAUTION: this dataset shares classes with ImageNet-1k, on which the usual weights"
    " were trained. Where they made a figure, expect less of classes that the network never saw.",
    "unknown": "Whether this dataset overlaps ImageNet-1k, on which the usual weights were trained,"
    " is not known.",
    "none": "The dataset shares nothing known with ImageNet-1k, on which the usual weights were"
    " trained.",
}


def run_report(outcome: RetrievalOutcome, decoder: Decoder) -> Report:
    """What a run found, for people. decoder: makes the pictures of the failure gallery.

    Raises OSError and bogv's errors for an image that can't be read any more.
    """
    run, queries = outcome.run, query_table(outcome.query_results)
    sections = [
        _metrics(run),
        None if run.losses is None else Section("Loss account", [ablation_table(run.losses)]),
        _depth(outcome, queries),
        _classes(run, queries),
        _similarities(run, outcome.similarities),
        _failures(outcome, queries, decoder),
        _dataset(outcome),
        provenance_section(run),
    ]
    return Report(
        f"{run.dataset.name}: {run.dataset.headline}",
        _lead(run),
        [section for section in sections if section is not None],
    )


def _lead(run: Run) -> list[str]:
    name, headline = run.dataset.headline, run.headline
    lead = weights_lead(run.weights)
    lead.append(
        f"{name} is {headline.value:.4f}, 95% interval {_interval(headline)}, over {run.n:,}"
        f" queries ({explain(name)})."
    )
    sample = "" if run.dataset.limit is None else f", a sample of {run.counts.images:,} images"
    lead.append(
        f"Dataset: {run.dataset.name}{sample}. Protocol {run.dataset.protocol}:"
        f" {PROTOCOLS[run.dataset.protocol]}. Search: {run.backend}, {_deep(run)}; engine"
        f" {run.engine}."
    )
    lead.append(f"Settings: {run.settings.text}.")
    lead += [line for line in [fit_note(run), rerank_note(run)] if line is not None]
    lead += [
        f"To compare, {anchor.status}: {anchor.metric} {anchor.value:g} ({anchor.setting};"
        f" {anchor.source})."
        for anchor in run.anchors
        if anchor.metric == name
    ]
    return lead


def fit_note(run: Run) -> str | None:
    """What PCA was fitted on; None if there is none."""
    if run.settings.post == "none":
        return None
    if run.fitted_on is None:
        return "PCA was fitted on the gallery itself, which flatters these figures slightly."
    return f"PCA was fitted on {run.fitted_on.text}."


def rerank_note(run: Run) -> str | None:
    """What the re-ranking costs; None if there is none."""
    once, each = (run.seconds.get(f"rerank_{part}") for part in ("gallery", "per_query"))
    if run.rerank_bytes_per_vector is None or once is None or each is None:
        return None
    return (
        f"Re-ranking ({run.settings.rerank}) took {1000 * each:.2f} ms a query beyond the first"
        f" search, {once:.1f} s once for the gallery, and {run.rerank_bytes_per_vector:,.0f} more"
        " bytes a gallery vector. Similarities are still the cosines of the search."
    )


def explain(metric: str) -> str:
    """A metric's definition in one line; '' for an unknown one.

    >>> explain("hit_rate@5")
    'share of queries with a relevant image in the top 5 ranks'
    """
    name, at, k = metric.partition("@")
    if metric in EXPLAINED:
        return EXPLAINED[metric]
    ranks = "the top rank" if k == "1" else f"the top {k} ranks"
    return EXPLAINED.get(name + at, "").format(ranks=ranks)


def _deep(run: Run) -> str:
    return "the whole gallery" if run.depth is None else f"the top {run.depth:,} ranks"


def _interval(mean: Mean) -> str:
    return f"[{mean.ci95[0]:.4f}, {mean.ci95[1]:.4f}]"


def _metrics(run: Run) -> Section:
    names = [name for name in run.metrics if not name.endswith("_per_class")]
    by_class = any(f"{name}_per_class" in run.metrics for name in names)
    columns = ["metric", "mean", "interval"]
    columns += ["by class", "interval"] if by_class else []
    rows = []
    for name in names:
        row = [f"{name} ◀" if name == run.dataset.headline else name]
        for key in (name, f"{name}_per_class") if by_class else (name,):
            row += [f"{run.metrics[key].value:.4f}", _interval(run.metrics[key])]
        rows.append([*row, explain(name)])
    caption = (
        "◀ marks the headline, this dataset's usual metric. Intervals: bootstrap, 95%. By"
        " class: the mean of the classes' means."
    )
    blocks: list[Block] = [Table([*columns, "what it is"], rows, caption)]
    if run.depth is not None:
        blocks.append(
            f"A ranking ends at rank {run.depth:,}: map, map_trapezoid, map@r, r_precision and mrr"
            " count relevant images beyond it as not found."
        )
    return Section("Metrics", [*blocks, *_anchors(run)])


def _anchors(run: Run) -> list[Block]:
    rows = [
        [
            anchor.metric,
            f"{anchor.value:.4f}",
            f"{run.metrics[anchor.metric].value:.4f}" if anchor.metric in run.metrics else "–",
            *(anchor.status, anchor.setting, anchor.source),
        ]
        for anchor in run.anchors
    ]
    columns = ["metric", "published", "this run", "status", "setting", "source"]
    return [Table(columns, rows, "Figures to compare with")] if rows else []


def _depth(outcome: RetrievalOutcome, queries: pd.DataFrame) -> Section:
    run, dataset = outcome.run, outcome.dataset
    longest = run.depth or run.counts.gallery
    searches_itself = bool(set(dataset.queries) & set(dataset.gallery))
    found = compute_curves(queries, run.k, max(1, longest - searches_itself), run.seed)
    return Section("How far down to look", [curve_figure(found)])


def _classes(run: Run, queries: pd.DataFrame) -> Section | None:
    found = rank_classes(queries, run.dataset.headline, run.seed)
    if found is None:
        return None
    blocks: list[Block] = [class_figure(found, run.dataset.headline)]
    if found.between:
        blocks.append(
            f"The {len(found.best)} best and the {len(found.worst)} worst of"
            f" {len(found.best) + len(found.between) + len(found.worst):,} classes; the others lie"
            f" between {min(found.between):.4f} and {max(found.between):.4f}. Of classes with equal"
            " means, names decide."
        )
    return Section("Class by class", blocks)


def _similarities(run: Run, found: Similarities) -> Section:
    text = (
        f"Each query with each image that it was ranked against. Median cosine: relevant"
        f" {median(found.relevant)}, irrelevant {median(found.irrelevant)}. A relevant pair is more"
        f" alike than an irrelevant one in {found.auc:.1%} of all comparisons (area under the ROC"
        " curve; chance is 50%). The plot leaves out the outermost 0.1% on each side."
    )
    if run.depth is not None:
        text += f" Only the top {run.depth:,} ranks are counted."
    return Section("How alike pairs are", [similarity_figure(found), text])


def _failures(outcome: RetrievalOutcome, queries: pd.DataFrame, decoder: Decoder) -> Section:
    strips = failure_strips(queries, outcome.dataset, decoder)
    text = (
        "Every query ranked all relevant images first: there is no failure to show."
        if not strips
        else "The queries whose first relevant image has the lowest rank, ties by the lowest"
        " average precision: the query, its top hits, and the first relevant image."
    )
    return Section("The worst queries", [text, *strips])


def _dataset(outcome: RetrievalOutcome) -> Section:
    run = outcome.run
    counts = run.counts
    rows = [
        ["images", f"{counts.images:,}"],
        ["classes", f"{counts.classes:,}"],
        ["gallery", f"{counts.gallery:,}"],
        ["queries scored", f"{run.n:,}"],
        ["queries excluded, without a relevant image", f"{counts.queries_without_relevant:,}"],
        ["queries with a duplicate in the gallery", f"{counts.queries_with_duplicate:,}"],
        ["digest", run.dataset.digest],
    ]
    blocks: list[Block] = [Table(["", run.dataset.id], rows)]
    note = leak_note(outcome.duplicates)
    blocks.append(note or "No query is in the gallery under another id, byte for byte.")
    return Section("The dataset", [*blocks, OVERLAPS[run.dataset.overlaps_imagenet]])
