"""The report of a run."""

from __future__ import annotations

import pandas as pd

from bogv.imaging.decoder import Decoder
from eval.data.datasets import Dataset, UnitName
from eval.data.sizes import PERCENTS, measure_sizes
from eval.embedding.settings import VECTORS
from eval.report.document import Block, Report, Section, Table
from eval.report.provenance import provenance_section
from eval.report.results import PER_QUERY, interval_text, weights_lead
from eval.retrieval.ablation_result import ablation_table
from eval.retrieval.confusion import (
    CONFUSION,
    Confusion,
    confusion_figure,
    confusion_strips,
    count_confusion,
)
from eval.retrieval.curves import PRECISION_RECALL, compute_curves, precision_recall_figure
from eval.retrieval.failures import Pictures, failure_strips
from eval.retrieval.measure import RetrievalOutcome, notes
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
    "mp@": "share of relevant images in {ranks}, or up to the last relevant image if it is above",
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
    "judged": "queries search a gallery; relevant: what a person judged relevant",
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
UNITS: dict[UnitName, str] = {
    "class": "classes",
    "group": "groups",
    "landmark": "landmarks",
    "query": "queries",
}
ENOUGH_UNITS = 20
"""From so many on the intervals hold: `python -m eval selftest --statistics`."""


def result_tables(outcome: RetrievalOutcome) -> dict[str, pd.DataFrame]:
    """The tables of a run, by the name of the file."""
    tables = {
        PER_QUERY: query_table(outcome.query_results),
        PRECISION_RECALL: outcome.precision_recall.table(outcome.run.seed),
    }
    confusion = _count_confusion(outcome)
    return tables if confusion is None else {**tables, CONFUSION: confusion.table}


def run_report(outcome: RetrievalOutcome, decoder: Decoder) -> Report:
    """What a run found, for people. decoder: makes the pictures of the failure gallery.

    Raises OSError and bogv's errors for an image that can't be read any more.
    """
    run, queries = outcome.run, query_table(outcome.query_results)
    optional = run.settings.backbone == VECTORS
    pictures = Pictures.of(outcome.dataset, decoder, optional=optional)
    sections = [
        _metrics(run),
        None if run.losses is None else Section("Loss account", [ablation_table(run.losses)]),
        _depth(outcome, queries),
        _precision_recall(outcome),
        _classes(run, queries),
        _confusion(outcome, pictures),
        _similarities(run, outcome.similarities),
        _failures(queries, pictures),
        _dataset(outcome),
        _network(run),
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
        f"{name} is {headline.value:.4f}, 95% interval {interval_text(headline)}, over {run.n:,}"
        f" queries ({explain(name)}). {_chance(run)}"
    )
    drawn = run.dataset.sample
    sample = f", a SAMPLE of {run.counts.images:,} images: {drawn}" if drawn else ""
    lead.append(
        f"Dataset: {run.dataset.name}, {run.dataset.place}{sample}. Protocol"
        f" {run.dataset.protocol}: {PROTOCOLS[run.dataset.protocol]}. Search: {run.backend},"
        f" {_deep(run)}; engine {run.engine}."
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


def _chance(run: Run) -> str:
    level = run.chance[run.dataset.headline]
    return f"Chance, the whole gallery in a random order, is {level:.4f}."


def _deep(run: Run) -> str:
    return "the whole gallery" if run.depth is None else f"the top {run.depth:,} ranks"


def _metrics(run: Run) -> Section:
    names = [name for name in run.metrics if not name.endswith("_per_class")]
    by_class = any(f"{name}_per_class" in run.metrics for name in names)
    columns = ["metric", "mean", "interval"]
    columns += ["by class", "interval"] if by_class else []
    rows = []
    for name in names:
        row = [f"{name} ◀" if name == run.dataset.headline else name]
        for key in (name, f"{name}_per_class") if by_class else (name,):
            row += [f"{run.metrics[key].value:.4f}", interval_text(run.metrics[key])]
        rows.append([*row, f"{run.chance[name]:.4f}", explain(name)])
    units = run.headline.units or run.n
    caption = (
        "◀ marks the headline, this dataset's usual metric. The 95% intervals are over"
        f" {units:,} {UNITS[run.dataset.unit]}: Wilson's for shares, else bootstrap-t. By class:"
        " the mean of the classes' means, over classes. Chance: the mean over queries if the whole"
        " gallery came in a random order."
    )
    blocks: list[Block] = [Table([*columns, "chance", "what it is"], rows, caption)]
    if units < ENOUGH_UNITS:
        blocks.append(
            f"The intervals are over {units} {UNITS[run.dataset.unit]} only, and rough: below"
            f" {ENOUGH_UNITS} they hold the truth less often than they say."
        )
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
    run = outcome.run
    longest = (run.depth or run.counts.gallery) - _searches_itself(outcome.dataset)
    found = compute_curves(queries, run.k, max(1, longest), run.seed)
    return Section("How far down to look", [curve_figure(found)])


def _searches_itself(dataset: Dataset) -> bool:
    return bool(set(dataset.queries) & set(dataset.gallery))


def _precision_recall(outcome: RetrievalOutcome) -> Section:
    run = outcome.run
    others = max(1, run.counts.gallery - _searches_itself(outcome.dataset))
    relevant = [query_result.relevant for query_result in outcome.query_results]
    chance = sum(relevant) / len(relevant) / others
    text = (
        "At each level of recall, the highest precision at that recall or beyond; the mean over"
        f" queries, {_deep(run)} (Manning, Raghavan, Schütze, Introduction to Information"
        " Retrieval, section 8.4)."
    )
    if run.depth is not None:
        text += " Where a ranking ends before a level of recall is reached, precision is 0 there."
    figure = precision_recall_figure(outcome.precision_recall.table(run.seed), chance)
    return Section("Precision and recall", [figure, text])


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


def _count_confusion(outcome: RetrievalOutcome) -> Confusion | None:
    return count_confusion(outcome.dataset, outcome.query_results, outcome.run.dataset.headline)


def _confusion(outcome: RetrievalOutcome, pictures: Pictures) -> Section | None:
    found = _count_confusion(outcome)
    if found is None:
        return None
    figure = confusion_figure(found)
    where = "the top rank" if found.k == 1 else f"the top {found.k} ranks"
    text = (
        f"The images in {where} that are not relevant, by the query's class and their own. Then the"
        " most frequent pairs, each with the mistake that ranks highest."
        if found.mistakes
        else f"All images in {where} are relevant: no class is mistaken for another."
    )
    shown = [figure] if figure is not None and found.mistakes else []
    return Section("Mistaken for what", [*shown, text, *confusion_strips(found, pictures)])


def _failures(queries: pd.DataFrame, pictures: Pictures) -> Section:
    strips = failure_strips(queries, pictures)
    text = (
        "Every query ranked all relevant images first: there is no failure to show."
        if not strips
        else "The queries whose first relevant image has the lowest rank, ties by the lowest"
        " average precision: the query, its top hits, and the first relevant image."
    )
    return Section("The worst queries", [text, *strips])


def _dataset(outcome: RetrievalOutcome) -> Section:
    """The dataset card."""
    run, spec = outcome.run, outcome.dataset.spec
    counts = run.counts
    rows = [
        ["name", spec.name],
        ["source", spec.homepage or (str(outcome.dataset.root) if outcome.dataset.root else "–")],
        ["licence", spec.licence],
        ["terms", spec.terms],
        ["citation", spec.citation],
        ["protocol", f"{run.dataset.protocol}: {PROTOCOLS[run.dataset.protocol]}"],
        ["images", f"{counts.images:,}"],
        ["classes", f"{counts.classes:,}"],
        ["gallery", f"{counts.gallery:,}"],
        ["queries scored", f"{run.n:,}"],
        ["queries excluded, without a relevant image", f"{counts.queries_without_relevant:,}"],
        ["queries with a duplicate in the gallery, by bytes", f"{counts.queries_with_duplicate:,}"],
        ["by pixels only", f"{counts.queries_with_same_pixels:,}"],
        ["gallery images that are in it more than once", f"{counts.gallery_with_duplicate:,}"],
        ["folder", run.dataset.place.removeprefix("in ")],
        ["digest", run.dataset.digest],
        ["canonical embedding", run.canonical],
    ]
    blocks: list[Block] = [Table(["", run.dataset.id], rows), _sizes(outcome)]
    blocks += notes(outcome)
    if not outcome.duplicates:
        pixels = "" if run.settings.backbone == VECTORS else " or by pixels"
        blocks.append(f"No query is in the gallery under another id, by bytes{pixels}.")
    return Section("The dataset", [*blocks, OVERLAPS[run.dataset.overlaps_imagenet]])


def _sizes(outcome: RetrievalOutcome) -> Block:
    try:
        sizes = measure_sizes(outcome.dataset.items)
    except OSError:
        if outcome.run.settings.backbone != VECTORS:
            raise
        return "The sizes of the images are not known: not all of them can be read."
    names = {0: "smallest", 50: "median", 100: "largest"}
    columns = [names.get(percent, f"{percent}%") for percent in PERCENTS]
    rows = [
        [name, *(f"{value:,}" for value in values)]
        for name, values in (("pixels", sizes.pixels), ("bytes", sizes.bytes))
    ]
    return Table(["size of the images", *columns], rows, "Percentiles; pixels: width × height.")


def _network(run: Run) -> Section | None:
    """What made the embeddings, where it wasn't bogv's own network."""
    rows = [[name, value] for name, value in run.network.items()]
    return Section("What made the embeddings", [Table(["", ""], rows)]) if rows else None
