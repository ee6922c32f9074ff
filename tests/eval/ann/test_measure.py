from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from eval.ann.measure import measure
from eval.ann.result import Ann
from eval.errors import WorkbenchError
from tests.eval.support.ann import CELLS, FLAT, QUERIES, SMALL, K, options, source


def test_flat_finds_all_and_few_cells_find_less(found: Ann) -> None:
    by_label = {point.label: point.metrics[f"ann_recall@{K}"].value for point in found.points}
    assert by_label["FLAT"] == 1
    assert by_label["IVF_FLAT nlist 6, nprobe 6"] == 1
    assert by_label["IVF_FLAT nlist 6, nprobe 1"] < 1


def test_bogvs_own_index_is_the_one_that_metrics_speak_of(found: Ann) -> None:
    assert [point.own for point in found.points] == [True, False, False, False]
    assert found.own.label == "HNSW M 16, efConstruction 200, ef 256"
    assert found.metrics == found.own.metrics
    assert set(found.metrics) == {"ann_recall@5", "ann_recall_ties@5"}
    assert found.weights is None
    assert found.n == QUERIES


def test_a_run_repeated_is_the_same_but_for_its_costs(found: Ann, in_one_process: None) -> None:
    def lasting(ann: Ann) -> dict[str, Any]:
        told = ann.model_dump(mode="json", exclude={"seconds"})
        for point in told["points"]:
            del point["cost"]
        return told

    again = measure(source(), options(FLAT, CELLS))
    assert lasting(again) == lasting(found)
    assert again.folder == found.folder
    other = measure(source(queries=SMALL.queries(QUERIES)[::-1].copy()), options())
    assert other.folder != again.folder


def test_equal_vectors_are_a_tie_and_no_loss(in_one_process: None) -> None:
    base = next(SMALL.gallery(40, 40))
    gallery = np.concatenate([base, base, base])
    same = measure(source(gallery=[gallery], count=120), options(FLAT))
    for point in same.points:
        assert point.metrics[f"ann_recall_ties@{K}"].value == 1


def test_a_k_beyond_the_gallery_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="k = 5; it must be from 1 to 3"):
        measure(source(count=3), options())
