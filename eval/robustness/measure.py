"""How often an edited image finds its original, by edit and by strength; no labels needed.

Dataset -> Asked -> Embedded -> Ranking, one a query -> Answer, one a query -> Robustness
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bogv.embedder import Embedder
from bogv.imaging.decoder import Decoder
from eval.data.catalogue import Spec
from eval.data.datasets import dataset_digest, load
from eval.embedding.embed import embed
from eval.errors import WorkbenchError
from eval.metrics import hit_rate, judge, reciprocal_rank
from eval.report.machine import machine, packages, revision
from eval.report.results import Mean, weights_part
from eval.retrieval.scoring import TOP
from eval.retrieval.search import Backend, Ranking, check_depth, depth, rank
from eval.robustness.edited_queries import Asked, ask, with_copies
from eval.robustness.edits import CONTROL, Variant, variants
from eval.robustness.result import Answer, Robustness
from eval.statistics import summarise


@dataclass(frozen=True)
class Options:
    """What is to be measured."""

    dataset: Spec | str
    """An entry of datasets.yaml, or its id; `folder` is any folder."""
    root: Path | None = None
    """The dataset's own folder; None: below $BOGV_DATASETS."""
    sample: int = 100
    """So many images are edited; all are searched."""
    edits: Sequence[str] | None = None
    """Names in `eval.robustness.edits.EDITS`; None: all."""
    ks: Sequence[int] = (1, 5, 10)
    """1 is always among them."""
    backend: Backend = "exact"
    seed: int = 0
    """Of the sample, the edits and the bootstrap."""
    command: str = ""
    """As it was typed, for run.json."""
    progress: bool = True


@dataclass(frozen=True)
class Outcome:
    """What was found, and what the report shows of it."""

    result: Robustness
    answers: list[Answer]
    asked: Asked
    new: int
    """How many images, edited or not, had to be embedded; the others were in the cache."""


def measure(options: Options, embedder: Embedder, decoder: Decoder, cache: Path) -> Outcome:
    """Edit a sample of a gallery and search the whole gallery for the originals.

    Raises DatasetError, WorkbenchError, what the embedder raises, DatabaseUnavailable.
    """
    start = time.perf_counter()
    if options.sample < 1 or min(options.ks, default=0) < 1:
        raise WorkbenchError("The sample and each k are at least 1.")
    ks = sorted({1, *options.ks})
    check_depth(options.backend, ks[-1])
    chosen = variants(options.edits)
    dataset = load(options.dataset, options.root)
    asked = ask(dataset, chosen, options.sample, options.seed, decoder)
    loaded = time.perf_counter()
    embedded = embed(asked.dataset, embedder, decoder, cache, progress=options.progress)
    asked = with_copies(asked, embedded.vectors, embedded.digests, decoder)
    ready = time.perf_counter()
    rankings = rank(asked.dataset, embedded.vectors, options.backend, embedder.weights.fingerprint)
    total = len(asked.questions)
    bar = tqdm(rankings, "Searching", total=total, unit="query", disable=not options.progress)
    answers = sorted(_answers(asked, bar, ks), key=lambda answer: answer.query)
    result = Robustness(
        weights=weights_part(embedder.weights.name, embedder.weights.fingerprint),
        command=options.command,
        dataset=dataset.spec.id,
        dataset_name=dataset.spec.name,
        digest=dataset_digest(asked.dataset, embedded.digests),
        gallery=len(asked.dataset.gallery),
        sample=len(asked.originals),
        sample_with_copies=sum(len(copies) > 1 for copies in asked.copies.values()),
        edits=_strengths(chosen),
        n=len(asked.originals) * len(chosen),
        k=ks,
        engine=embedder.engine,
        backend=options.backend,
        depth=depth(options.backend, len(asked.dataset.gallery)),
        seed=options.seed,
        metrics=means(answers, options.seed),
        revision=revision(),
        machine=machine(),
        packages=packages(),
        seconds={
            "load": round(loaded - start, 4),
            "edit_and_embed": round(ready - loaded, 4),
            "search_and_score": round(time.perf_counter() - ready, 4),
        },
    )
    return Outcome(result, answers, asked, embedded.new)


def _answers(asked: Asked, rankings: Iterable[Ranking], ks: Sequence[int]) -> Iterator[Answer]:
    items = asked.dataset.items
    for ranking in rankings:
        question = asked.questions[ranking.query]
        rel = judge(ranking.found, asked.dataset.relevant(ranking.query), None)
        place = int(rel.argmax()) if rel.any() else None
        yield Answer(
            query=ranking.query,
            image=items[question.original].id,
            variant=question.variant,
            rank=None if place is None else place + 1,
            found_id=None if place is None else items[int(ranking.found[place])].id,
            similarity=None if place is None else round(float(ranking.scores[place]), 6),
            top_ids=[items[index].id for index in ranking.found[:TOP].tolist()],
            top_scores=[round(float(score), 6) for score in ranking.scores[:TOP]],
            scores={f"hit_rate@{k}": hit_rate(rel, k) for k in ks} | {"mrr": reciprocal_rank(rel)},
        )


def means(answers: Sequence[Answer], seed: int) -> dict[str, Mean]:
    """Means over all edited images, over each edit, each strength, and the unedited control.

    answers: ordered by image; each image has all edits. The values of an image's edits are averaged
    first: the bootstrap then draws images.
    """
    images = [
        {answer.variant: answer.scores for answer in group}
        for _, group in groupby(answers, key=lambda answer: answer.image)
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
    return {
        name: Mean.model_validate(dict(found))
        for name, found in summarise(columns, None, seed).items()
    }


def _strengths(chosen: Sequence[Variant]) -> dict[str, list[str]]:
    strengths: dict[str, list[str]] = {}
    for variant in chosen:
        strengths.setdefault(variant.edit, []).append(variant.strength)
    return strengths
