"""How often an edited image finds its original, by edit and by strength; no labels needed.

Dataset -> EditedQueries -> Embedded -> Ranking, one a query -> EditedQueryResult, one a query
-> Robustness
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bogv.calibration.edits import CONTROL, EditVariant, edit_variants
from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from eval.data.catalogue import Spec
from eval.data.datasets import dataset_digest, load
from eval.data.naming import printable
from eval.embedding.embed import Embedded, embed
from eval.errors import WorkbenchError
from eval.harness.stopwatch import Stopwatch
from eval.metrics import hit_rate, judge, reciprocal_rank
from eval.report.machine import describe_environment
from eval.report.results import Mean, means_of, weights_part
from eval.retrieval.scoring import TOP
from eval.retrieval.search import Backend, Ranking, check_ranking_depth, rank, ranking_depth
from eval.robustness.edited_queries import EditedQueries, make_edited_queries, mark_copies
from eval.robustness.result import EditedQueryResult, Robustness


@dataclass(frozen=True)
class RobustnessOptions:
    """What is to be measured."""

    dataset: Spec | str
    """An entry of datasets.yaml, or its id; `folder` is any folder."""
    root: Path | None = None
    """The dataset's own folder; None: below $BOGV_DATASETS."""
    sample: int = 100
    """So many images are edited; all are searched."""
    edits: Sequence[str] | None = None
    """Names in `bogv.calibration.edits.EDITS`; None: all."""
    ks: Sequence[int] = (1, 5, 10)
    """1 is always among them."""
    backend: Backend = "exact"
    seed: int = 0
    """Of the sample, the edits and the intervals."""
    command: str = ""
    """As it was typed, for run.json."""
    progress: bool = True


@dataclass(frozen=True)
class RobustnessOutcome:
    """What was found, and what the report shows of it."""

    result: Robustness
    query_results: list[EditedQueryResult]
    edited: EditedQueries
    new: int
    """How many images, edited or not, had to be embedded; the others were in the cache."""


def measure(
    options: RobustnessOptions, embedder: Embedder, decoder: Decoder, cache: Path
) -> RobustnessOutcome:
    """Edit a sample of a gallery and search the whole gallery for the originals.

    Raises DatasetError, WorkbenchError, the embedder's errors, DatabaseUnavailable.
    """
    watch = Stopwatch()
    environment = describe_environment()
    if options.sample < 1 or min(options.ks, default=0) < 1:
        raise WorkbenchError("The sample and each k are at least 1.")
    ks = sorted({1, *options.ks})
    check_ranking_depth(options.backend, ks[-1])
    chosen = edit_variants(options.edits)
    dataset = load(options.dataset, options.root)
    edited = make_edited_queries(dataset, chosen, options.sample, options.seed, decoder)
    watch.lap("load")
    embedded = embed(edited.dataset, embedder, decoder, cache, progress=options.progress)
    edited = mark_copies(edited, embedded.vectors, embedded.digests, decoder)
    watch.lap("edit_and_embed")
    query_results = _search(edited, embedded, embedder.weights.fingerprint, ks, options)
    watch.lap("search_and_score")
    result = Robustness(
        weights=weights_part(embedder.weights.name, embedder.weights.fingerprint),
        command=options.command,
        **_describe_queries(dataset.spec, edited, embedded),
        edits=_strengths(chosen),
        n=len(edited.originals) * len(chosen),
        k=ks,
        engine=embedder.engine,
        canonical=embedded.canonical,
        backend=options.backend,
        depth=ranking_depth(options.backend, len(edited.dataset.gallery)),
        seed=options.seed,
        metrics=means(query_results, options.seed),
        **environment,
        seconds=watch.seconds,
    )
    return RobustnessOutcome(result, query_results, edited, embedded.new)


def _describe_queries(spec: Spec, edited: EditedQueries, embedded: Embedded) -> dict[str, Any]:
    """The fields of run.json that identify the queries and the gallery."""
    return {
        "dataset": spec.id,
        "dataset_name": spec.name,
        "root": None if edited.dataset.root is None else printable(str(edited.dataset.root)),
        "digest": dataset_digest(edited.dataset, embedded.digests),
        "gallery": len(edited.dataset.gallery),
        "sample": len(edited.originals),
        "sample_with_copies": sum(len(copies) > 1 for copies in edited.copies.values()),
    }


def _search(
    edited: EditedQueries,
    embedded: Embedded,
    fingerprint: str,
    ks: Sequence[int],
    options: RobustnessOptions,
) -> list[EditedQueryResult]:
    """A result for each edited image, in their order."""
    rankings = rank(edited.dataset, embedded.vectors, options.backend, fingerprint)
    total = len(edited.questions)
    bar = tqdm(rankings, "Searching", total=total, unit="query", disable=not options.progress)
    return sorted(_query_results(edited, bar, ks), key=lambda query_result: query_result.query)


def _query_results(
    edited: EditedQueries, rankings: Iterable[Ranking], ks: Sequence[int]
) -> Iterator[EditedQueryResult]:
    items = edited.dataset.items
    for ranking in rankings:
        question = edited.questions[ranking.query]
        rel = judge(ranking.found, edited.dataset.relevant(ranking.query), None)
        rank_from_0 = int(rel.argmax()) if rel.any() else None
        yield EditedQueryResult(
            query=ranking.query,
            image=items[question.original].id,
            variant=question.variant,
            rank=None if rank_from_0 is None else rank_from_0 + 1,
            found_id=None if rank_from_0 is None else items[int(ranking.found[rank_from_0])].id,
            similarity=None
            if rank_from_0 is None
            else round(float(ranking.scores[rank_from_0]), 6),
            top_ids=[items[index].id for index in ranking.found[:TOP].tolist()],
            top_scores=[round(float(score), 6) for score in ranking.scores[:TOP]],
            scores={f"hit_rate@{k}": hit_rate(rel, k) for k in ks} | {"mrr": reciprocal_rank(rel)},
        )


def means(query_results: Sequence[EditedQueryResult], seed: int) -> dict[str, Mean]:
    """Means over all edited images, over each edit, each strength, and the unedited control.

    query_results: ordered by image; each image has all edits. The values of an image's edits are
    averaged first: the units of the intervals are images.
    """
    images = [
        {query_result.variant: query_result.scores for query_result in group}
        for _, group in groupby(query_results, key=lambda query_result: query_result.image)
    ]
    made = [variant for variant in images[0] if variant != CONTROL]
    groups = {"": made}
    for variant in made:
        groups.setdefault(f"/{variant.edit}", []).append(variant)
    groups |= {f"/{variant.name}": [variant] for variant in (*made, CONTROL)}
    columns = {
        name + suffix: [float(np.mean([each[v][name] for v in group])) for each in images]
        for suffix, group in groups.items()
        for name in images[0][CONTROL]
    }
    return means_of(columns, seed)


def _strengths(chosen: Sequence[EditVariant]) -> dict[str, list[str]]:
    strengths: dict[str, list[str]] = {}
    for variant in chosen:
        strengths.setdefault(variant.edit, []).append(variant.strength)
    return strengths
