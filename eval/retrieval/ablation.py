"""The ablation of a run: exact search, then PCA, then Milvus' index, then the REST path.

Each step has the same queries and length of rankings as the step before, so that the difference is
due to the step. Exact search, PCA and the index use the whole gallery; the REST path uses a sample
of the images, because the service decodes and embeds each of them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from bogv.service import MAX_LIMIT
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset, draw_sample
from eval.embedding.settings import OWN_BACKBONE, EmbeddingSettings
from eval.embedding.stored import StoredVectors
from eval.report.results import UPPER
from eval.retrieval.ablation_result import Ablation, AblationStep, MetricLoss, StepMetric, StepName
from eval.retrieval.rest_path import rank_over_rest
from eval.retrieval.scoring import QueryResult, has_relevant, score
from eval.retrieval.search import Ranking, rank_exactly, rank_in_milvus
from eval.statistics.comparisons import paired_difference

Values = dict[str, list[float]]
"""Metric -> its value for each query, ordered by the queries' ids."""


@dataclass(frozen=True)
class AblationSample:
    """How much the ablation may take, drawn by the run's seed."""

    queries: int = 200
    images: int = 500
    """That go through the service; a larger dataset is sampled as --limit does."""


@dataclass(frozen=True)
class AblationInput:
    """The data of a run that its ablation needs."""

    dataset: Dataset
    vectors: Vectors
    """(n, d) float32, before PCA."""
    projected: Vectors
    """(n, dimension) float32, after PCA; equal to `vectors` without PCA."""
    settings: EmbeddingSettings
    embedder: Embedder | StoredVectors
    decoder: Decoder
    ks: Sequence[int]
    query_results: Sequence[QueryResult] | None
    """Milvus' own, where the run had them."""
    seed: int
    progress: bool = True


def measure_ablation(run: AblationInput, sample: AblationSample) -> Ablation:
    """Measure the loss of each step, by the dataset's headline metric and by map.

    Raises WorkbenchError, DatabaseUnavailable, the embedder's errors.
    """
    steps = _Steps(run)
    sampled = draw_queries(run.dataset, sample.queries, run.seed)
    steps.add("exact", "exact search", sampled, rank_exactly(sampled, run.vectors))
    if run.settings.post != "none":
        steps.add("post", run.settings.post, sampled, rank_exactly(sampled, run.projected))
    if run.query_results is None:
        rankings = _rank_by_index(run, sampled, run.projected)
        steps.add("milvus", "Milvus' index", sampled, rankings)
    else:
        names = {sampled.items[query].id for query in sampled.queries}
        steps.add_query_results(
            "milvus",
            "Milvus' index",
            sampled,
            [each for each in run.query_results if each.query in names],
        )
    left_out: dict[StepName, str] = {}
    if run.settings.rerank != "none":
        left_out["rerank"] = "every step here is before it; compare the metrics with another run's."
    if run.settings.backbone != OWN_BACKBONE:
        left_out["rest"] = "the service has bogv's own network only."
    elif not run.settings.is_own:
        left_out["rest"] = "the service supports bogv's own settings only."
    else:
        try:
            _add_rest_steps(steps, sampled, sample)
        except DatasetError as error:
            left_out["rest"] = str(error)
    depth = min(MAX_LIMIT, len(run.dataset.gallery))
    return Ablation(depth=depth, steps=steps.steps, left_out=left_out)


def _add_rest_steps(steps: _Steps, sampled: Dataset, sample: AblationSample) -> None:
    """Raises DatasetError if no query of the sample has a relevant image."""
    run = steps.run
    if len(run.dataset.items) > sample.images:
        part = draw_sample(run.dataset, sample.images, run.seed)
        at = {item.id: index for index, item in enumerate(run.dataset.items)}
        vectors = run.vectors[[at[item.id] for item in part.items]]
        sampled = draw_queries(part, sample.queries, run.seed)
        rankings = _rank_by_index(run, sampled, vectors)
        what = f"Milvus' index, on a sample of {len(part.items):,} images"
        steps.restart("milvus_sample", what, sampled, rankings)
    assert isinstance(run.embedder, Embedder)  # noqa: S101 - others have settings of their own
    rankings = rank_over_rest(sampled, run.embedder, run.decoder, progress=run.progress)
    steps.add("rest", "the REST path", sampled, rankings)


def _rank_by_index(run: AblationInput, sampled: Dataset, vectors: Vectors) -> Iterator[Ranking]:
    rankings = rank_in_milvus(sampled, vectors, run.embedder.weights.fingerprint)
    count = len(sampled.queries)
    yield from tqdm(rankings, "Searching the index", count, unit="query", disable=not run.progress)


class _Steps:
    """The steps so far, and the last one's values, from which the next one's losses count."""

    def __init__(self, run: AblationInput) -> None:
        self.run = run
        self.steps: list[AblationStep] = []
        self._before: Values | None = None

    def restart(
        self, name: StepName, what: str, sampled: Dataset, rankings: Iterable[Ranking]
    ) -> None:
        """Enter a step that can't be compared with the one before."""
        self._before = None
        self.add(name, what, sampled, rankings)

    def add(self, name: StepName, what: str, sampled: Dataset, rankings: Iterable[Ranking]) -> None:
        """Enter a step by its rankings."""
        self.add_query_results(
            name, what, sampled, list(score(sampled, _truncate(rankings), self.run.ks))
        )

    def add_query_results(
        self, name: StepName, what: str, sampled: Dataset, query_results: Sequence[QueryResult]
    ) -> None:
        """Enter a step by its answers; they are put into the order of the queries' ids."""
        ordered = sorted(query_results, key=lambda query_result: query_result.query)
        units = [query_result.unit for query_result in ordered]
        headline = self.run.dataset.spec.headline
        values = {
            metric: [query_result.scores[metric] for query_result in ordered]
            for metric in dict.fromkeys([headline, "map"])
        }
        metrics = {
            metric_name(metric, len(self.run.dataset.gallery)): self._metric(metric, column, units)
            for metric, column in values.items()
        }
        self._before = values
        self.steps.append(
            AblationStep(
                name=name,
                what=what,
                queries=len(ordered),
                gallery=len(sampled.gallery),
                metrics=metrics,
            )
        )

    def _metric(self, metric: str, values: Sequence[float], units: Sequence[str]) -> StepMetric:
        value = float(np.mean(values))
        if self._before is None:
            return StepMetric(value=value, loss=None)
        before, upper = self._before[metric], UPPER.get(metric, 1.0)
        found = paired_difference(values, before, units, self.run.seed, upper)
        return StepMetric(value=value, loss=MetricLoss(value=found.value, ci95=found.ci95))


def metric_name(metric: str, gallery: int) -> str:
    """The metric's own name, or `map_first_1000` if it needs more than 1000 ranks."""
    _, _, k = metric.partition("@")
    needs = int(k) + 1 if k.isdigit() else 4 if metric == "ns" else gallery
    return f"{metric}_first_{MAX_LIMIT}" if min(needs, gallery) > MAX_LIMIT else metric


def draw_queries(dataset: Dataset, count: int, seed: int) -> Dataset:
    """The dataset with at most `count` of the queries that have a relevant image.

    Raises DatasetError if there is none.
    """
    names = {dataset.items[query].id: query for query in dataset.queries}
    able = [names[name] for name in sorted(names) if has_relevant(dataset, names[name])]
    if not able:
        raise DatasetError(dataset.spec.id, "no query of the sample has a relevant image.")
    drawn = np.random.default_rng(seed).permutation(len(able))[:count]
    return replace(dataset, queries=[able[index] for index in sorted(drawn.tolist())])


def _truncate(rankings: Iterable[Ranking]) -> Iterator[Ranking]:
    """Cut the rankings to the length of the service's."""
    for each in rankings:
        yield Ranking(each.query, each.found[:MAX_LIMIT], each.scores[:MAX_LIMIT])
