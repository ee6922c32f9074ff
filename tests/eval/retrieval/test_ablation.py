from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.embedding.embed import Embedded
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.retrieval import ablation as accounting
from eval.retrieval.ablation import (
    AblationInput,
    AblationSample,
    draw_queries,
    measure_ablation,
    metric_name,
)
from eval.retrieval.search import Ranking, rank_exactly
from eval.selftest import made_up
from tests.eval.support.retrieval import DECODER
from tests.support.fakes import fake_embedder


def measured(dataset: Dataset, embedded: Embedded, **changes: Any) -> AblationInput:
    whole = AblationInput(
        dataset=dataset,
        vectors=embedded.vectors,
        projected=embedded.vectors,
        settings=OWN_SETTINGS,
        embedder=fake_embedder(),
        decoder=DECODER,
        ks=[1],
        query_results=None,
        seed=0,
        progress=False,
    )
    return replace(whole, **changes)


def test_all_steps_are_measured_and_have_no_loss_on_a_small_gallery(
    dataset: Dataset, embedded: Embedded
) -> None:
    found = measure_ablation(measured(dataset, embedded), AblationSample())
    assert [step.name for step in found.steps] == ["exact", "milvus", "rest"]
    assert (found.depth, found.left_out) == (16, {})
    for step in found.steps:
        assert (step.queries, step.gallery) == (16, 16)
        assert list(step.metrics) == ["hit_rate@1", "map"]
        assert step.metrics["map"].value == 1
    first, *others = found.steps
    assert first.metrics["map"].loss is None
    losses = [step.metrics["map"].loss for step in others]
    assert [loss and loss.value for loss in losses] == [0, 0]
    assert all(loss and loss.ci95 and loss.ci95[0] < 0 < loss.ci95[1] for loss in losses)


def test_a_larger_dataset_sends_a_sample_through_the_service_and_starts_anew(
    dataset: Dataset, embedded: Embedded
) -> None:
    found = measure_ablation(measured(dataset, embedded), AblationSample(queries=6, images=8))
    sizes = [(step.name, step.queries, step.gallery) for step in found.steps]
    assert sizes == [
        ("exact", 6, 16),
        ("milvus", 6, 16),
        ("milvus_sample", 6, 8),
        ("rest", 6, 8),
    ]
    losses = [step.metrics["map"].loss for step in found.steps]
    assert [loss is None for loss in losses] == [True, False, True, False]
    assert found == measure_ablation(
        measured(dataset, embedded), AblationSample(queries=6, images=8)
    )


def test_a_step_with_a_lower_metric_shows_its_loss(
    dataset: Dataset, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index gives each ranking backwards: of 15 others, those 3 that are right come last."""

    def backwards(dataset: Dataset, vectors: Any, _: str) -> Iterator[Ranking]:
        for each in rank_exactly(dataset, vectors):
            yield Ranking(each.query, each.found[::-1], each.scores[::-1])

    monkeypatch.setattr(accounting, "rank_in_milvus", backwards)
    found = measure_ablation(measured(dataset, embedded), AblationSample())
    costs = [step.metrics["map"] for step in found.steps]
    low = (1 / 13 + 2 / 14 + 3 / 15) / 3
    assert costs[1].value == pytest.approx(low)
    assert costs[1].loss is not None
    assert costs[1].loss.value == pytest.approx(1 - low)
    assert costs[1].loss.ci95 == pytest.approx((1 - low, 1 - low))
    assert costs[2].loss is not None
    assert costs[2].loss.value == pytest.approx(low - 1)  # the service found it all again


def test_pca_is_a_separate_step_and_other_settings_have_no_rest_step(
    dataset: Dataset, embedded: Embedded
) -> None:
    worse = embedded.vectors[::-1].copy()
    run = measured(dataset, embedded, projected=worse, settings=EmbeddingSettings(post="pca:3"))
    found = measure_ablation(run, AblationSample())
    assert [(step.name, step.what) for step in found.steps] == [
        ("exact", "exact search"),
        ("post", "pca:3"),
        ("milvus", "Milvus' index"),
    ]
    assert found.left_out == {"rest": "the service supports bogv's own settings only."}


def test_the_depth_of_the_rankings_causes_no_loss(
    dataset: Dataset, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 4 hits per search, the query among them, each step misses none of the 3 others; with 3,
    each misses one, and the account says what its figures are of."""
    monkeypatch.setattr("eval.retrieval.search.MAX_LIMIT", 3)
    monkeypatch.setattr(accounting, "MAX_LIMIT", 3)
    run = measured(dataset, embedded, settings=EmbeddingSettings(post="pca:3"))
    found = measure_ablation(run, AblationSample())
    assert found.depth == 3
    for step in found.steps:
        assert list(step.metrics) == ["hit_rate@1", "map_first_3"]
        assert step.metrics["map_first_3"].value == pytest.approx(2 / 3)
    loss = found.steps[-1].metrics["map_first_3"].loss
    assert loss
    assert loss.value == 0


def test_only_metrics_that_depend_on_the_depth_are_named_by_it() -> None:
    assert metric_name("map", 1000) == "map"
    assert metric_name("map", 1001) == "map_first_1000"
    assert metric_name("map@r", 5000) == "map@r_first_1000"
    assert metric_name("recall@999", 5000) == "recall@999"
    assert metric_name("recall@1000", 5000) == "recall@1000_first_1000"
    assert metric_name("recall@1000", 500) == "recall@1000"
    assert metric_name("ns", 10200) == "ns"


def test_queries_are_drawn_by_the_seed_whatever_their_order(dataset: Dataset) -> None:
    drawn = draw_queries(dataset, 5, seed=1)
    other = draw_queries(replace(dataset, queries=dataset.queries[::-1]), 5, seed=1)
    assert drawn.queries == other.queries == sorted(drawn.queries)
    assert len(drawn.queries) == 5
    assert draw_queries(dataset, 5, seed=2).queries != drawn.queries
    with pytest.raises(DatasetError, match="no query of the sample has a relevant image"):
        draw_queries(made_up(["a", "b"]), 5, seed=0)
