"""Measures the loss account: exact search, then PCA, then Milvus' index, then the REST path.

Each step answers the same queries as the step before and ranks as many places, so that only what
the step adds is counted. Exact search, PCA and the index see the whole gallery; through the service
goes a sample of the images, for it decodes and embeds each of them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from bogv.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from bogv.service import MAX_LIMIT
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset, limited
from eval.embedding.settings import Variant
from eval.retrieval.ablation_result import Cost, Loss, Losses, Step, StepName
from eval.retrieval.rest_path import rest
from eval.retrieval.scoring import Answer, has_relevant, score
from eval.retrieval.search import Ranking, exact, milvus
from eval.statistics import paired_bootstrap

Values = dict[str, list[float]]
"""Metric -> its value for each query, ordered by the queries' ids."""


@dataclass(frozen=True)
class Sample:
    """How much the account may take, drawn by the run's seed."""

    queries: int = 200
    images: int = 500
    """That go through the service; a larger dataset is sampled as --limit does."""


@dataclass(frozen=True)
class Measured:
    """What a run has at hand when it asks for the account."""

    dataset: Dataset
    vectors: Vectors
    """(n, d) float32, before PCA."""
    posted: Vectors
    """(n, dimension) float32, after it; the same where there is none."""
    variant: Variant
    embedder: Embedder
    decoder: Decoder
    ks: Sequence[int]
    answers: Sequence[Answer] | None
    """Milvus' own, where the run had them."""
    seed: int
    progress: bool = True


def account(run: Measured, sample: Sample) -> Losses:
    """What each step costs, by the dataset's headline and by map.

    Raises WorkbenchError, DatabaseUnavailable, what the embedder raises.
    """
    book = _Book(run)
    asked = draw_queries(run.dataset, sample.queries, run.seed)
    book.enter("exact", "exact search", asked, exact(asked, run.vectors))
    if run.variant.post != "none":
        book.enter("post", run.variant.post, asked, exact(asked, run.posted))
    if run.answers is None:
        rankings = _indexed(run, asked, run.posted)
        book.enter("milvus", "Milvus' index", asked, rankings)
    else:
        names = {asked.items[query].id for query in asked.queries}
        book.enter_answers(
            "milvus", "Milvus' index", asked, [each for each in run.answers if each.query in names]
        )
    left_out: dict[StepName, str] = {}
    if not run.variant.is_own:
        left_out["rest"] = "the service has bogv's own settings alone."
    else:
        try:
            _rest_steps(book, asked, sample)
        except DatasetError as error:
            left_out["rest"] = str(error)
    depth = min(MAX_LIMIT, len(run.dataset.gallery))
    return Losses(depth=depth, steps=book.steps, left_out=left_out)


def _rest_steps(book: _Book, asked: Dataset, sample: Sample) -> None:
    """Raises DatasetError where the sample holds no query with something to find."""
    run = book.run
    if len(run.dataset.items) > sample.images:
        part = limited(run.dataset, sample.images, run.seed)
        at = {item.id: index for index, item in enumerate(run.dataset.items)}
        vectors = run.vectors[[at[item.id] for item in part.items]]
        asked = draw_queries(part, sample.queries, run.seed)
        rankings = _indexed(run, asked, vectors)
        what = f"Milvus' index, on a sample of {len(part.items):,} images"
        book.begin("milvus_sample", what, asked, rankings)
    rankings = rest(asked, run.embedder, run.decoder, progress=run.progress)
    book.enter("rest", "the REST path", asked, rankings)


def _indexed(run: Measured, asked: Dataset, vectors: Vectors) -> Iterator[Ranking]:
    rankings = milvus(asked, vectors, run.embedder.weights.fingerprint)
    count = len(asked.queries)
    yield from tqdm(rankings, "Searching the index", count, unit="query", disable=not run.progress)


class _Book:
    """The steps so far, and the last one's values, from which the next one's losses count."""

    def __init__(self, run: Measured) -> None:
        self.run = run
        self.steps: list[Step] = []
        self._before: Values | None = None

    def begin(self, name: StepName, what: str, asked: Dataset, rankings: Iterable[Ranking]) -> None:
        """Enter a step that can't be compared with the one before."""
        self._before = None
        self.enter(name, what, asked, rankings)

    def enter(self, name: StepName, what: str, asked: Dataset, rankings: Iterable[Ranking]) -> None:
        """Enter a step by its rankings."""
        self.enter_answers(name, what, asked, list(score(asked, _cut(rankings), self.run.ks)))

    def enter_answers(
        self, name: StepName, what: str, asked: Dataset, answers: Sequence[Answer]
    ) -> None:
        """Enter a step by its answers; they are put into the order of the queries' ids."""
        ordered = sorted(answers, key=lambda answer: answer.query)
        headline = self.run.dataset.spec.headline
        values = {
            metric: [answer.scores[metric] for answer in ordered]
            for metric in dict.fromkeys([headline, "map"])
        }
        costs = {
            metric_name(metric, len(self.run.dataset.gallery)): self._cost(metric, column)
            for metric, column in values.items()
        }
        self._before = values
        self.steps.append(
            Step(
                name=name,
                what=what,
                queries=len(ordered),
                gallery=len(asked.gallery),
                metrics=costs,
            )
        )

    def _cost(self, metric: str, values: Sequence[float]) -> Cost:
        value = float(np.mean(values))
        if self._before is None:
            return Cost(value=value, loss=None)
        found = paired_bootstrap(values, self._before[metric], self.run.seed)
        return Cost(value=value, loss=Loss(value=found.value, ci95=found.ci95))


def metric_name(metric: str, gallery: int) -> str:
    """The metric's own name, or `map_first_1000` where it would need more places than there are."""
    _, _, k = metric.partition("@")
    needs = int(k) + 1 if k.isdigit() else 4 if metric == "ns" else gallery
    return f"{metric}_first_{MAX_LIMIT}" if min(needs, gallery) > MAX_LIMIT else metric


def draw_queries(dataset: Dataset, count: int, seed: int) -> Dataset:
    """The dataset with at most `count` of the queries that have something to find.

    Raises DatasetError where none has.
    """
    names = {dataset.items[query].id: query for query in dataset.queries}
    able = [names[name] for name in sorted(names) if has_relevant(dataset, names[name])]
    if not able:
        raise DatasetError(dataset.spec.id, "no query of the sample has anything to find.")
    drawn = np.random.default_rng(seed).permutation(len(able))[:count]
    return replace(dataset, queries=[able[place] for place in sorted(drawn.tolist())])


def _cut(rankings: Iterable[Ranking]) -> Iterator[Ranking]:
    """As deep as the service goes."""
    for each in rankings:
        yield Ranking(each.query, each.found[:MAX_LIMIT], each.scores[:MAX_LIMIT])
