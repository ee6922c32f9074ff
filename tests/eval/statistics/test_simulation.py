from __future__ import annotations

import numpy as np
import pytest

from eval.statistics import simulation
from eval.statistics.intervals import Summary, mean_summary
from eval.statistics.simulation import DESIGNS, Design, SimulationRow, draw, simulate

FEW = (Design("hits", 30, 4, 0.7, 0.3), Design("precisions", 30, 4, 0.6, 0.3))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two designs instead of all."""
    monkeypatch.setattr(simulation, "DESIGNS", FEW)
    monkeypatch.setattr(simulation, "PAIRED", FEW[:1])
    monkeypatch.setattr(simulation, "PERCENTILES", ((200, 50.0),))


@pytest.mark.parametrize("design", DESIGNS, ids=lambda each: each.text)
def test_a_design_draws_its_mean_and_its_correlation(design: Design) -> None:
    generator = np.random.default_rng(0)
    drawn = np.concatenate([draw(design, generator) for _ in range(4000 // design.units)])
    assert drawn.mean() == pytest.approx(design.mean, abs=0.03)
    if design.queries > 1 and design.values == "hits":
        first, second = drawn[:, 0], drawn[:, 1]
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(design.correlation, abs=0.07)


@pytest.mark.usefixtures("few")
def test_the_table_holds_and_is_repeated_by_its_seed() -> None:
    rows = list(simulate(200))
    assert [row.figure for row in rows] == ["coverage"] * 3 + ["false alarms", "coverage"]
    assert all(row.held for row in rows)
    assert rows == list(simulate(200))


@pytest.mark.usefixtures("few")
def test_intervals_that_draw_queries_instead_of_units_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the workbench did before: the simulation has to notice."""

    def by_query(values: np.typing.ArrayLike, _: object, seed: int) -> Summary:
        return mean_summary(values, None, seed)

    monkeypatch.setattr(simulation, "mean_summary", by_query)
    rows: list[SimulationRow] = list(simulate(300))
    assert [row.held for row in rows[:2]] == [False, False]
    assert rows[0].value < 0.9
