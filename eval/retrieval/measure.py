"""One run: load, embed, project, search, score, and an ablation of the steps.

Dataset -> Embedded -> Ranking, one a query -> QueryResult, one a query -> Run and its table
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from eval.data.catalogue import DatasetError, Spec
from eval.data.datasets import Dataset, dataset_digest, load
from eval.embedding.embed import Embedded, embed
from eval.embedding.fitting import FittedOn, FittingSet
from eval.embedding.projection import project
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.errors import WorkbenchError
from eval.harness.stopwatch import Stopwatch
from eval.report.machine import describe_environment
from eval.report.results import Mean, means_of, weights_part
from eval.retrieval.ablation import AblationInput, AblationSample, measure_ablation
from eval.retrieval.ablation_result import Ablation
from eval.retrieval.rerank import Reranking, rerank, reranking_of
from eval.retrieval.result import DatasetCounts, DatasetPart, Run
from eval.retrieval.scoring import Duplicate, QueryResult, find_duplicates, has_relevant, score
from eval.retrieval.search import Backend, check_ranking_depth, rank, ranking_depth
from eval.retrieval.similarities import Similarities

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
    command: str = ""
    """As it was typed, for run.json."""
    progress: bool = True


@dataclass(frozen=True)
class RetrievalOutcome:
    """What a run found."""

    run: Run
    dataset: Dataset
    query_results: list[QueryResult]
    similarities: Similarities
    duplicates: list[Duplicate]
    new: int
    """How many images had to be embedded; the others were in the cache."""


def measure(
    options: RetrievalOptions,
    embedder: Embedder,
    decoder: Decoder,
    cache: Path,
    load_variant: Callable[[EmbeddingSettings], Embedder] | None = None,
) -> RetrievalOutcome:
    """Measure what this embedder finds on this dataset. load_variant: as `embed` has it.

    Raises DatasetError, WorkbenchError, what the embedder raises, DatabaseUnavailable.
    """
    watch = Stopwatch()
    dataset = load(options.dataset, options.root, limit=options.limit, seed=options.seed)
    ks = _with_headline(dataset.spec, options.ks)
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
    similarities = Similarities()
    query_results = search_and_score(
        dataset,
        projected,
        options.backend,
        ks,
        embedder.weights.fingerprint,
        similarities,
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
    leaks = find_duplicates(dataset, embedded.digests)
    run = _run(options, found, embedder, ablation, leaks, watch.seconds)
    return RetrievalOutcome(run, dataset, query_results, similarities, leaks, embedded.new)


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


def _measure_ablation(
    options: RetrievalOptions, found: _Found, embedder: Embedder, decoder: Decoder
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
    embedder: Embedder,
    ablation: Ablation | None,
    leaks: list[Duplicate],
    seconds: dict[str, float | None],
) -> Run:
    dataset = found.dataset
    return Run(
        weights=weights_part(embedder.weights.name, embedder.weights.fingerprint),
        command=options.command,
        dataset=_dataset(dataset, options.limit, found.embedded),
        counts=_counts(dataset, found.query_results, leaks),
        n=len(found.query_results),
        k=found.ks,
        engine=embedder.engine,
        settings=options.settings,
        fitted_on=found.fitted_on,
        rerank_bytes_per_vector=found.rerank_bytes,
        backend=options.backend,
        depth=ranking_depth(options.backend, len(dataset.gallery)),
        seed=options.seed,
        metrics=found.metrics,
        anchors=dataset.spec.anchors,
        losses=ablation,
        **describe_environment(),
        seconds=seconds,
    )


def search_and_score(
    dataset: Dataset,
    embedded: Embedded,
    backend: Backend,
    ks: Sequence[int],
    fingerprint: str,
    similarities: Similarities | None = None,
    *,
    reranking: Reranking | None = None,
    progress: bool = True,
) -> list[QueryResult]:
    """A result for each query that has something to find.

    similarities: counts the pairs, where it is given. reranking: of exact rankings.
    """
    rankings = (
        rank(dataset, embedded.vectors, backend, fingerprint)
        if reranking is None
        else rerank(dataset, embedded.vectors, reranking)
    )
    bar = tqdm(
        rankings, "Searching", total=len(dataset.queries), unit="query", disable=not progress
    )
    return list(score(dataset, bar, ks, similarities))


def check_answerable(dataset: Dataset) -> None:
    """Raise DatasetError where no query has anything to find, before hours go into embedding."""
    if not any(has_relevant(dataset, query) for query in dataset.queries):
        raise DatasetError(
            dataset.spec.id,
            "no query has a relevant image to find; are there labels (a folder for each class, or"
            " a labels.csv), and more than one image of a label? `python -m eval robustness` needs"
            " no labels.",
        )


def leak_note(found: Sequence[Duplicate]) -> str | None:
    """A warning about duplicates; None if there are none."""
    if not found:
        return None
    queries = len({pair.query for pair in found})
    examples = "; ".join(f"{pair.query} = {pair.gallery}" for pair in islice(found, EXAMPLES))
    return (
        f"DUPLICATES: {queries:,} of the queries are in the gallery under another id, byte for"
        f" byte ({examples}{'; …' if len(found) > EXAMPLES else ''}). Where these are right, the"
        " figures flatter; where they are wrong, labels contradict each other."
    )


def _with_headline(spec: Spec, ks: Sequence[int]) -> list[int]:
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
    return means_of(columns, classes, seed)


def _dataset(dataset: Dataset, limit: int | None, embedded: Embedded) -> DatasetPart:
    spec = dataset.spec
    return DatasetPart(
        id=spec.id,
        name=spec.name,
        protocol=spec.protocol,
        headline=spec.headline,
        overlaps_imagenet=spec.overlaps_imagenet,
        limit=limit,
        digest=dataset_digest(dataset, embedded.digests),
    )


def _counts(
    dataset: Dataset, query_results: Sequence[QueryResult], leaks: Sequence[Duplicate]
) -> DatasetCounts:
    return DatasetCounts(
        images=len(dataset.items),
        classes=len({item.label for item in dataset.items} - {None}),
        queries=len(dataset.queries),
        gallery=len(dataset.gallery),
        queries_without_relevant=len(dataset.queries) - len(query_results),
        queries_with_duplicate=len({pair.query for pair in leaks}),
    )
