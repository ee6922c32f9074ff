"""One run: load, embed, project, search, score, and an ablation of the steps.

Dataset -> Embedded -> Ranking, one a query -> QueryResult, one a query -> Run and its table
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from eval.data.catalogue import DatasetError, Spec
from eval.data.datasets import Dataset, dataset_digest, load
from eval.data.naming import label_note, printable
from eval.embedding.backbone import Backbone
from eval.embedding.embed import Embedded, embed
from eval.embedding.fitting import FittedOn, FittingSet
from eval.embedding.projection import project
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.embedding.stored import StoredVectors, absence_note
from eval.errors import WorkbenchError
from eval.harness.stopwatch import Stopwatch
from eval.report.machine import Environment, describe_environment
from eval.report.results import Mean, means_of, weights_part
from eval.retrieval.ablation import AblationInput, AblationSample, measure_ablation
from eval.retrieval.ablation_result import Ablation
from eval.retrieval.curves import PrecisionRecall
from eval.retrieval.rerank import Reranking, rerank, reranking_of
from eval.retrieval.result import DatasetCounts, DatasetPart, Run
from eval.retrieval.scoring import (
    Duplicate,
    Observer,
    QueryResult,
    chance_levels,
    find_duplicates,
    find_gallery_copies,
    has_relevant,
    score,
)
from eval.retrieval.search import Backend, check_ranking_depth, rank, ranking_depth
from eval.retrieval.similarities import Similarities
from eval.retrieval.trec import TopRankings

EXAMPLES = 3


@dataclass(frozen=True)
class RetrievalOptions:
    """What a run is to do."""

    dataset: Spec | str
    """An entry of datasets.yaml, or its id."""
    root: Path | None = None
    """The dataset's own folder; None: below $BOGV_DATASETS."""
    ks: Sequence[int] = (1, 5, 10)
    """The headline's own k joins them."""
    backend: Backend = "exact"
    settings: EmbeddingSettings = OWN_SETTINGS
    """The embedder is of its network."""
    fit_on_root: Path | None = None
    """The folder of the dataset that PCA is fitted on; None: below $BOGV_DATASETS."""
    ablation: AblationSample | None = None
    """How much the ablation may take; None: none is made."""
    limit: int | None = None
    """Of images."""
    seed: int = 0
    depth: int | None = None
    """Ranks to keep of each ranking, for export; None: none are kept."""
    command: str = ""
    """As it was typed, for run.json."""
    progress: bool = True


@dataclass(frozen=True)
class RetrievalOutcome:
    """What a run found."""

    run: Run
    dataset: Dataset
    query_results: list[QueryResult]
    vectors: Vectors
    """(n, dimension) float32: the embedding of each item that was searched with."""
    similarities: Similarities
    precision_recall: PrecisionRecall
    rankings: TopRankings | None
    """None: not asked for."""
    duplicates: list[Duplicate]
    gallery_copies: list[list[str]]
    """Ids of the gallery's images that the network can't tell apart, by picture."""
    new: int
    """How many images had to be embedded; the others were in the cache."""
    absent: int = 0
    """How many images can't be read; only with vectors from a file."""


def measure(
    options: RetrievalOptions,
    embedder: Embedder | StoredVectors,
    decoder: Decoder,
    cache: Path,
    load_variant: Callable[[EmbeddingSettings], Embedder] | None = None,
) -> RetrievalOutcome:
    """Measure what this embedder finds on this dataset. load_variant: as `embed` has it.

    Raises DatasetError, WorkbenchError, what the embedder raises, DatabaseUnavailable.
    """
    watch = Stopwatch()
    environment = describe_environment()
    dataset = load(options.dataset, options.root, limit=options.limit, seed=options.seed)
    ks = with_headline(dataset.spec, options.ks)
    check_ranking_depth(options.backend, ks[-1])
    reranking = reranking_of(options.settings.rerank, options.backend)
    fitting = FittingSet.of(options.settings.fit_on, options.fit_on_root)
    check_answerable(dataset)
    watch.lap("load")
    embed_images = partial(
        embed,
        embedder=embedder,
        decoder=decoder,
        cache=cache,
        settings=options.settings,
        load=load_variant,
        progress=options.progress,
    )
    embedded = embed_images(dataset)
    watch.lap("embed", embedded.new)
    vectors, fitted_on = None, None
    if fitting is not None:
        queries = {embedded.digests[query] for query in dataset.queries}
        vectors, fitted_on = fitting.embed(embed_images, queries)
        watch.lap("embed_fit_on")
    projected = replace(
        embedded, vectors=project(dataset, embedded.vectors, options.settings.post, vectors)
    )
    similarities, precision_recall = Similarities(), PrecisionRecall()
    rankings = None if options.depth is None else TopRankings(options.depth)
    observers = [similarities.observe, precision_recall.observe]
    query_results = search_and_score(
        dataset,
        projected,
        options.backend,
        ks,
        embedder.weights.fingerprint,
        observers if rankings is None else [*observers, rankings.observe],
        reranking=reranking,
        progress=options.progress,
    )
    found = _Found(
        dataset,
        ks,
        embedded,
        projected,
        query_results,
        _means(query_results, options.seed),
        None if reranking is None else round(reranking.bytes_per_vector, 1),
        fitted_on,
    )
    watch.lap("search_and_score")
    watch.seconds |= {} if reranking is None else reranking.seconds
    ablation = _measure_ablation(options, found, embedder, decoder)
    if ablation is not None:
        watch.lap("losses")
    run = _run(options, found, embedder, ablation, environment, watch.seconds)
    return RetrievalOutcome(
        run=run,
        dataset=dataset,
        query_results=query_results,
        vectors=projected.vectors,
        similarities=similarities,
        precision_recall=precision_recall,
        rankings=rankings,
        duplicates=found.leaks,
        gallery_copies=found.copies,
        new=embedded.new,
        absent=embedded.absent,
    )


@dataclass(frozen=True)
class _Found:
    """What a run has so far."""

    dataset: Dataset
    ks: list[int]
    embedded: Embedded
    projected: Embedded
    query_results: list[QueryResult]
    metrics: dict[str, Mean]
    rerank_bytes: float | None
    fitted_on: FittedOn | None

    @cached_property
    def leaks(self) -> list[Duplicate]:
        return find_duplicates(self.dataset, self.embedded.digests, self.embedded.pixels)

    @cached_property
    def copies(self) -> list[list[str]]:
        return find_gallery_copies(self.dataset, self.embedded.pixels)


def _measure_ablation(
    options: RetrievalOptions, found: _Found, embedder: Embedder | StoredVectors, decoder: Decoder
) -> Ablation | None:
    if options.ablation is None:
        return None
    at_hand = AblationInput(
        dataset=found.dataset,
        vectors=found.embedded.vectors,
        projected=found.projected.vectors,
        settings=options.settings,
        embedder=embedder,
        decoder=decoder,
        ks=found.ks,
        query_results=found.query_results if options.backend == "milvus" else None,
        seed=options.seed,
        progress=options.progress,
    )
    return measure_ablation(at_hand, options.ablation)


def _run(
    options: RetrievalOptions,
    found: _Found,
    embedder: Embedder | StoredVectors,
    ablation: Ablation | None,
    environment: Environment,
    seconds: dict[str, float | None],
) -> Run:
    dataset = found.dataset
    return Run(
        weights=weights_part(embedder.weights.name, embedder.weights.fingerprint),
        command=options.command,
        dataset=_dataset(dataset, options.limit, found.embedded),
        counts=_counts(found),
        n=len(found.query_results),
        k=found.ks,
        engine=embedder.engine,
        canonical=found.embedded.canonical,
        settings=options.settings,
        network=embedder.description if isinstance(embedder, Backbone | StoredVectors) else {},
        fitted_on=found.fitted_on,
        rerank_bytes_per_vector=found.rerank_bytes,
        backend=options.backend,
        depth=ranking_depth(options.backend, len(dataset.gallery)),
        seed=options.seed,
        metrics=found.metrics,
        chance=chance_levels(dataset, found.query_results),
        anchors=[] if dataset.sample else dataset.spec.anchors,
        losses=ablation,
        **environment,
        seconds=seconds,
    )


def search_and_score(
    dataset: Dataset,
    embedded: Embedded,
    backend: Backend,
    ks: Sequence[int],
    fingerprint: str,
    observers: Sequence[Observer] = (),
    *,
    reranking: Reranking | None = None,
    progress: bool = True,
) -> list[QueryResult]:
    """A result for each query that has something to find; observers see its whole ranking.

    reranking: of exact rankings.
    """
    rankings = (
        rank(dataset, embedded.vectors, backend, fingerprint)
        if reranking is None
        else rerank(dataset, embedded.vectors, reranking)
    )
    bar = tqdm(
        rankings, "Searching", total=len(dataset.queries), unit="query", disable=not progress
    )
    return list(score(dataset, bar, ks, observers))


def check_answerable(dataset: Dataset) -> None:
    """Raise DatasetError where no query has anything to find, before hours go into embedding."""
    if not any(has_relevant(dataset, query) for query in dataset.queries):
        raise DatasetError(
            dataset.spec.id,
            "no query has a relevant image to find; are there labels (a folder for each class, or"
            " a labels.csv), and more than one image of a label? `python -m eval robustness` needs"
            " no labels.",
        )


def notes(outcome: RetrievalOutcome) -> list[str]:
    """What has to be known before a figure is believed."""
    found = (
        absence_note(outcome.absent, len(outcome.dataset.items)),
        leak_note(outcome.duplicates, outcome.gallery_copies),
        label_note(outcome.dataset.items),
    )
    return [note for note in found if note is not None]


def leak_note(found: Sequence[Duplicate], copies: Sequence[Sequence[str]] = ()) -> str | None:
    """A warning about duplicates; None if there are none.

    copies: ids of the gallery's images that can't be told apart; those that `found` has are left
    out.
    """
    lines = []
    for same, text in (("bytes", "byte for byte"), ("pixels", "as another file of equal pixels")):
        pairs = [pair for pair in found if pair.same == same]
        if pairs:
            lines.append(
                f"{len({pair.query for pair in pairs}):,} of the queries are in the gallery under"
                f" another id, {text} ({_listed([[each.query, each.gallery] for each in pairs])})."
            )
    if lines:
        lines.append(
            "Where these are right, the figures flatter; where they are wrong, labels contradict"
            " each other."
        )
    known = {pair.query for pair in found}
    others = [group for group in copies if not known.issuperset(group)]
    if others:
        lines.append(
            f"{sum(map(len, others)):,} images of the gallery are in it more than once, by bytes or"
            f" by pixels ({_listed(others)}): one picture takes several ranks."
        )
    return f"DUPLICATES: {' '.join(lines)}" if lines else None


def _listed(groups: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(" = ".join(group) for group in groups[:EXAMPLES])
    return shown + ("; …" if len(groups) > EXAMPLES else "")


def with_headline(spec: Spec, ks: Sequence[int]) -> list[int]:
    """The given k and the headline metric's own, ascending."""
    if not ks or min(ks) < 1:
        raise WorkbenchError("Each k must be at least 1.")
    _, _, own = spec.headline.partition("@")
    return sorted({*ks, *([int(own)] if own.isdigit() else [])})


def _means(query_results: Sequence[QueryResult], seed: int) -> dict[str, Mean]:
    names = list(query_results[0].scores)
    columns = {
        name: [query_result.scores[name] for query_result in query_results] for name in names
    }
    labels = [query_result.label for query_result in query_results]
    classes: Any = None if None in labels else labels
    return means_of(columns, seed, [each.unit for each in query_results], classes)


def _dataset(dataset: Dataset, limit: int | None, embedded: Embedded) -> DatasetPart:
    spec = dataset.spec
    return DatasetPart(
        id=spec.id,
        name=spec.name,
        protocol=spec.protocol,
        headline=spec.headline,
        overlaps_imagenet=spec.overlaps_imagenet,
        unit=dataset.unit_name,
        root=None if dataset.root is None else printable(str(dataset.root)),
        limit=limit,
        sample=dataset.sample,
        digest=dataset_digest(dataset, embedded.digests),
    )


def _counts(found: _Found) -> DatasetCounts:
    dataset = found.dataset
    by_bytes = {pair.query for pair in found.leaks if pair.same == "bytes"}
    return DatasetCounts(
        images=len(dataset.items),
        classes=len({item.label for item in dataset.items} - {None}),
        queries=len(dataset.queries),
        gallery=len(dataset.gallery),
        queries_without_relevant=len(dataset.queries) - len(found.query_results),
        queries_with_duplicate=len(by_bytes),
        queries_with_same_pixels=len({pair.query for pair in found.leaks} - by_bytes),
        gallery_with_duplicate=sum(map(len, found.copies)),
    )
