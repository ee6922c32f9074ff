from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bogv.imaging.decoder import Decoder
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding.embed import Embedded, embed
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.errors import WorkbenchError
from eval.retrieval import ablation as accounting
from eval.retrieval.ablation import (
    AblationInput,
    AblationSample,
    draw_queries,
    measure_ablation,
    metric_name,
)
from eval.retrieval.ablation_result import (
    Ablation,
    AblationStep,
    MetricLoss,
    StepMetric,
    ablation_table,
)
from eval.retrieval.rest_path import rank_over_rest
from eval.retrieval.search import Ranking, rank_exactly
from eval.selftest import made_up
from tests.fakes import encoded, fake_embedder, picture

DECODER = Decoder(1_000_000, 1_000_000)
LABELS = [f"class {number % 4}" for number in range(16)]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Four classes of four: each one picture in four qualities."""
    made = made_up(LABELS)
    files = [
        encoded(picture(number % 4), "JPEG", quality=95 - number // 4 * 25) for number in range(16)
    ]
    items = [
        replace(item, read=partial(bytes, data))
        for item, data in zip(made.items, files, strict=True)
    ]
    return replace(made, items=items)


@pytest.fixture(scope="module")
def embedded(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    return embed(
        dataset, fake_embedder(), DECODER, tmp_path_factory.mktemp("cache"), progress=False
    )


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


def test_each_step_is_there_and_on_a_small_gallery_none_costs_anything(
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
    assert {step.metrics["map"].loss for step in others} == {MetricLoss(value=0, ci95=(0, 0))}


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


def test_a_step_that_finds_less_shows_what_it_lost(
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


def test_pca_is_a_step_of_its_own_and_other_settings_have_no_service(
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
    assert found.left_out == {"rest": "the service has bogv's own settings alone."}


def test_depth_is_no_loss(
    dataset: Dataset, embedded: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 4 places a search, the query among them, each step misses none of the 3 others; with 3,
    each misses one, and the account says what its figures are of."""
    monkeypatch.setattr("eval.retrieval.search.MAX_LIMIT", 3)
    monkeypatch.setattr(accounting, "MAX_LIMIT", 3)
    run = measured(dataset, embedded, settings=EmbeddingSettings(post="pca:3"))
    found = measure_ablation(run, AblationSample())
    assert found.depth == 3
    for step in found.steps:
        assert list(step.metrics) == ["hit_rate@1", "map_first_3"]
        assert step.metrics["map_first_3"].value == pytest.approx(2 / 3)
    assert found.steps[-1].metrics["map_first_3"].loss == MetricLoss(value=0, ci95=(0, 0))


def test_only_what_depth_can_change_is_named_by_it() -> None:
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
    with pytest.raises(DatasetError, match="no query of the sample has anything to find"):
        draw_queries(made_up(["a", "b"]), 5, seed=0)


def test_the_service_ranks_as_exact_search_does(dataset: Dataset, embedded: Embedded) -> None:
    alike = list(rank_over_rest(dataset, fake_embedder(), DECODER, progress=False))
    for found, expected in zip(alike, rank_exactly(dataset, embedded.vectors), strict=True):
        assert found.query == expected.query
        assert set(found.found.tolist()) == set(range(16))
        assert np.allclose(found.scores, expected.scores, atol=1e-5)


def test_images_of_the_same_bytes_stay_as_many_as_they_are(dataset: Dataset) -> None:
    data = encoded(picture(7))
    items = [*dataset.items[:4], *(Item(f"x{n}", "twin", lambda: data) for n in range(3))]
    twins = replace(dataset, items=items, queries=[6], gallery=list(range(7)))
    [found] = rank_over_rest(twins, fake_embedder(), DECODER, progress=False)
    assert sorted(found.found.tolist()) == list(range(7))
    assert set(found.found[:3].tolist()) == {4, 5, 6}


def test_the_settings_of_this_machine_do_not_touch_the_service(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("MILVUS_HOST", "203.0.113.1")
    asked = replace(dataset, queries=[0])
    assert len(list(rank_over_rest(asked, fake_embedder(), DECODER, progress=False))) == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("index", "message"),
    [(3, "refuses the image '0003': .*no image"), (0, "refuses the query '0000': .*no image")],
)
def test_an_image_that_the_service_refuses_is_named(
    dataset: Dataset, index: int, message: str
) -> None:
    items = list(dataset.items)
    items[index] = replace(items[index], read=lambda: b"no image")
    broken = replace(dataset, items=items, queries=[0], gallery=[1, 2, 3])
    with pytest.raises(WorkbenchError, match=message):
        list(rank_over_rest(broken, fake_embedder(), DECODER, progress=False))


def test_the_table_shows_points_and_what_is_missing() -> None:
    def step(name: Any, value: float, loss: MetricLoss | None) -> AblationStep:
        cost = StepMetric(value=value, loss=loss)
        return AblationStep(
            name=name, what=name, queries=1200, gallery=5, metrics={"ns": cost, "map": cost}
        )

    steps = [
        step("exact", 0.5, None),
        step("milvus", 0.4875, MetricLoss(value=0.0125, ci95=(-0.001, 0.03))),
    ]
    table = ablation_table(Ablation(depth=1000, steps=steps, left_out={"rest": "no service."}))
    assert table.columns[:5] == ["after", "queries", "gallery", "ns", "ns: loss, points"]
    first, second = table.rows
    assert first == ["exact", "1,200", "5", "0.5000", "–", "0.5000", "–"]
    assert second[3:] == ["0.4875", "+0.01 [+0.00, +0.03]", "0.4875", "+1.25 [-0.10, +3.00]"]
    assert "the first 1,000 places" in table.caption
    assert "Not measured: rest, for no service." in table.caption
