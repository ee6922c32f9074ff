from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from eval.errors import WorkbenchError
from eval.scale import measure as scaling
from eval.scale import worker as scale_worker
from eval.scale.measure import ScaleOptions, measure
from eval.scale.result import Scale
from eval.vectors import nearest_neighbours
from tests.eval.support.scale import DISTRIBUTION

OPTIONS = ScaleOptions(rows=[300, 40], queries=6, k=5, dimension=16, warm_up=1, progress=False)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own take seconds to start."""

    def directly(work: Callable[..., Any], *arguments: object) -> Any:
        return work(*arguments)

    monkeypatch.setattr(scaling, "run_in_process", directly)


def test_what_is_measured_is_true(in_this_process: None) -> None:
    found = measure(OPTIONS)
    assert [point.rows for point in found.points] == [40, 300]
    for point in found.points:
        # So few rows are searched as good as exactly.
        assert point.built.ann_recall == 1
        assert point.building.ann_recall == 1
        assert point.built.queries == 6
        assert point.disk_mib is not None
        assert point.disk_mib > point.rows * 16 * 4 / 2**20
    assert found.metrics["ann_recall@5@300"].value == 1
    assert found.weights is None
    assert Scale.model_validate_json(found.model_dump_json()) == found


def test_recall_is_computed_for_the_right_query() -> None:
    exact = nearest_neighbours(DISTRIBUTION.gallery(50, 50), DISTRIBUTION.queries(3), 2)
    right = exact.rows[2].tolist()
    asked = scale_worker.TimedQueries([2, 2], [right, [right[0], 99]], [0.1, 0.1])
    assert scaling._recalls(asked, exact) == [1, 0.5]


def test_fewer_rows_than_neighbours_are_refused() -> None:
    with pytest.raises(WorkbenchError, match="at least k = 5"):
        measure(replace(OPTIONS, rows=[4, 300]))
