from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_curve

from eval.retrieval.curves import (
    PrecisionRecall,
    compute_curves,
    interpolated_precision,
    precision_recall_figure,
)
from eval.retrieval.result import query_table
from tests.eval.support.retrieval import measured
from tests.eval.support.retrieval_report import measured as measured_for_report


def test_the_curves_are_the_metrics_of_the_run_interval_and_all(
    class_folders: Path, tmp_path: Path
) -> None:
    outcome = measured_for_report(class_folders, tmp_path, ks=(1, 3, 13))
    run = outcome.run
    found = compute_curves(query_table(outcome.query_results), run.k, 15, run.seed)
    assert found.ks == [*range(1, 11), 12, 13, 15]
    for k in run.k:
        at = found.ks.index(k)
        for curve, name in ((found.hit_rate, "hit_rate"), (found.recall, "recall")):
            metric = run.metrics[f"{name}@{k}"]
            assert metric.ci95
            assert curve[at] == pytest.approx([metric.value, *metric.ci95])
    assert found.hit_rate[-1, 0] == found.recall[-1, 0] == 1
    assert found.best[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert 0 < found.hit_rate[0, 0] < 1


def test_a_query_that_never_finds_anything_pulls_the_curves_down() -> None:
    queries = pd.DataFrame(
        {
            "first_relevant": pd.array([1, None, 2], "Int64"),
            "relevant": [2, 1, 4],
            "unit": ["a", "b", "c"],
            "relevant_places": [[1, 3], [], [2, 99]],
        }
    )
    found = compute_curves(queries, [], 1000, 0)
    assert found.ks[-1] == 100
    assert found.hit_rate[[0, 1, -1], 0] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert found.recall[[0, 1, 2, -1], 0] == pytest.approx([1 / 6, 1 / 4, 5 / 12, 1 / 2])


def relevance(*ranks: int, size: int) -> np.typing.NDArray[np.bool_]:
    rel = np.zeros(size, bool)
    rel[[rank - 1 for rank in ranks]] = True
    return rel


def test_a_worked_example() -> None:
    """Ten relevant images, found at the ranks 1, 3, 6, 10 and 15, of a classic exercise."""
    curve = interpolated_precision(relevance(1, 3, 6, 10, 15, size=15), total=10)
    expected = [1, 1, 2 / 3, 1 / 2, 2 / 5, 1 / 3, 0, 0, 0, 0, 0]
    assert curve == pytest.approx(expected)


def test_a_later_peak_counts_for_lower_recall() -> None:
    curve = interpolated_precision(relevance(4, 5, 6, size=9), total=3)
    assert curve == pytest.approx([0.5] * 11)


def test_a_ranking_without_a_relevant_image_is_zero_and_a_perfect_one_is_one() -> None:
    assert interpolated_precision(relevance(size=5), total=2).tolist() == [0] * 11
    assert interpolated_precision(relevance(size=0), total=2).tolist() == [0] * 11
    assert interpolated_precision(relevance(1, 2, size=5), total=2).tolist() == [1] * 11


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_the_curve_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rel = rng.random(60) < 0.3
    precision, recall, _ = precision_recall_curve(rel, -np.arange(60))
    precision, recall = precision[:-1], recall[:-1]  # the last point is made up: recall 0
    expected = [precision[recall >= level - 1e-12].max() for level in np.linspace(0, 1, 11)]
    assert interpolated_precision(rel, int(rel.sum())) == pytest.approx(expected)


def test_a_run_has_the_mean_of_its_queries_with_intervals(
    class_folders: Path, tmp_path: Path
) -> None:
    outcome = measured(tmp_path, "folder", root=class_folders)
    assert isinstance(outcome.precision_recall, PrecisionRecall)
    table = outcome.precision_recall.table(outcome.run.seed)
    assert table["recall"].tolist() == [level / 10 for level in range(11)]
    assert table["precision"].is_monotonic_decreasing
    assert table["precision"].iloc[-1] < table["precision"].iloc[0] <= 1
    assert (table["ci95_low"] <= table["precision"]).all()
    assert (table["precision"] <= table["ci95_high"]).all()
    # At recall 0, the highest precision anywhere: at least that of the first rank.
    assert table["precision"].iloc[0] >= outcome.run.metrics["precision@1"].value
    assert precision_recall_figure(table, 0.2).alt.startswith("Interpolated precision falls from")


def test_an_image_beyond_the_depth_of_milvus_is_not_found(
    class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.retrieval.search.MAX_LIMIT", 3)
    outcome = measured(tmp_path, "folder", root=class_folders, backend="milvus", ks=(1,))
    table = outcome.precision_recall.table(0)
    assert table["precision"].iloc[-1] == 0 < table["precision"].iloc[0]
