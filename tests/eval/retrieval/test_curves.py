from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eval.retrieval.curves import compute_curves
from eval.retrieval.result import query_table
from tests.eval.support.retrieval_report import measured


def test_the_curves_are_the_metrics_of_the_run_interval_and_all(
    class_folders: Path, tmp_path: Path
) -> None:
    outcome = measured(class_folders, tmp_path, ks=(1, 3, 13))
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
