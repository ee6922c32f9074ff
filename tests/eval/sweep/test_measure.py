from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.data.catalogue import DatasetError
from eval.errors import WorkbenchError
from eval.retrieval.measure import measure as run_measure
from eval.retrieval.result import read_run
from eval.sweep import cells
from eval.sweep.measure import SweepOptions, measure
from eval.sweep.result import Sweep
from tests.eval.support.sweep import make_loading, make_plan


def test_a_sweep_has_a_row_for_each_setting_with_its_quality_and_cost(
    swept: tuple[Path, Sweep],
) -> None:
    out, sweep = swept
    assert [row.setting for row in sweep.rows] == ["default", "pca:3", "pca:999", "aqe"]
    own, pca, failed, expanded = sweep.rows
    run, _ = read_run(out / own.runs[0])
    assert own.mean == run.headline
    assert own.by_seed == {0: run.headline.value}
    assert own.verdict is None
    assert own.cost is not None
    assert (own.cost.bytes_per_vector, own.cost.rerank_ms) == (8192, None)
    assert own.cost.embed_ms > 0
    assert pca.cost is not None
    assert pca.cost.embed_ms == own.cost.embed_ms
    assert pca.cost.bytes_per_vector == 12
    assert expanded.cost is not None
    assert expanded.cost.ms > own.cost.ms
    assert failed.mean is None
    assert "ask for" in str(failed.error)
    assert sweep.failed == [failed]
    assert sweep.comparisons == 2
    assert sweep.metrics["hit_rate@1/folder/default"] == own.mean
    assert "bytes" in pca.fronts or own.fronts


def test_what_is_there_is_not_run_again(
    swept: tuple[Path, Sweep],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    networks: None,
    capsys: Any,
) -> None:
    out, sweep = swept

    def refuse(*_: object) -> None:
        raise AssertionError("It was run again.")

    monkeypatch.setattr(cells, "measure", refuse)
    plan = make_plan(root, {"post": ["pca:3"], "rerank": ["aqe"]})
    options = SweepOptions(out, out.parent / "cache", progress=False)
    again = measure(plan, make_loading(out.parent), options)
    assert [row.mean for row in again.rows] == [row.mean for row in sweep.rows if row.mean]
    assert [row.runs for row in again.rows] == [row.runs for row in sweep.rows if row.runs]
    assert capsys.readouterr().err.count("(was there)") == 3


def test_an_interrupted_sweep_goes_on(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: None, capsys: Any
) -> None:
    plan = make_plan(root, {"tta": ["flip"]})
    options = SweepOptions(tmp_path / "out", tmp_path / "cache", progress=False)
    whole = run_measure

    def interrupt(what: Any, *more: Any) -> Any:
        if what.settings.tta == "flip":
            raise KeyboardInterrupt
        return whole(what, *more)

    with monkeypatch.context() as patch:
        patch.setattr(cells, "measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            measure(plan, make_loading(tmp_path), options)
    found = measure(plan, make_loading(tmp_path), options)
    assert not found.failed
    assert capsys.readouterr().err.count("(was there)") == 1


def test_seeds_draw_samples_and_their_queries_are_put_together(
    root: Path, tmp_path: Path, networks: None
) -> None:
    plan = make_plan(root, {"crop": ["squash"]}, limit=8, seeds=[0, 1])
    assert len(plan.tasks) == 4
    assert len({task.digest for task in plan.tasks}) == 2
    options = SweepOptions(tmp_path / "out", tmp_path / "cache", progress=False)
    found = measure(plan, make_loading(tmp_path), options)
    own, squash = found.rows
    assert own.n == squash.n == 16
    assert sorted(own.by_seed) == [0, 1]
    assert own.mean is not None
    assert own.mean.value == pytest.approx(sum(own.by_seed.values()) / 2)
    assert len(squash.runs) == 2
    assert found.datasets[0].samples[1] == "2 of 4 classes, each as a whole"


def test_seeds_of_a_whole_dataset_are_one(root: Path) -> None:
    plan = make_plan(root, {"crop": ["squash"]}, seeds=[3, 4])
    assert [task.seed for task in plan.tasks] == [3, 3]
    assert any("Seeds only draw samples: folder is taken as a whole" in n for n in plan.notes)


def test_the_number_of_runs_is_said_before_they_start(root: Path) -> None:
    plan = make_plan(root, {"pooling": ["gap", "gem"], "post": ["pca:3", "pca:4"]}, design="grid")
    assert plan.notes[0].startswith("5 runs: 5 settings, 1 dataset; 2 embeddings of each")


def test_runs_that_share_a_network_follow_each_other(root: Path) -> None:
    plan = make_plan(root, [{"pooling": "gem"}, {"tta": "flip"}, {"pooling": "gem", "crop": "pad"}])
    assert [task.settings.title for task in plan.tasks] == ["default", "flip", "gem", "gem, pad"]


def test_a_sweep_without_any_figure_says_why(root: Path, tmp_path: Path, networks: None) -> None:
    plan = make_plan(root, [{"post": "pca:999"}], baseline={"precision": "int8"})
    options = SweepOptions(tmp_path / "out", tmp_path / "cache", progress=False)
    with pytest.raises(WorkbenchError, match="None of the 2 runs could be made: There is no int8"):
        measure(plan, make_loading(tmp_path), options)


def test_settings_are_not_compared_with_a_baseline_that_failed(
    root: Path, tmp_path: Path, networks: None
) -> None:
    plan = make_plan(root, [{}], baseline={"precision": "int8"})
    options = SweepOptions(tmp_path / "out", tmp_path / "cache", progress=False)
    failed, own = measure(plan, make_loading(tmp_path), options).rows
    assert failed.error is not None
    assert own.mean is not None
    assert own.verdict is None
    assert own.fronts == ["ms", "bytes"]


def test_a_dataset_that_is_not_there_ends_it_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no folder"):
        make_plan(tmp_path / "none", {"crop": ["pad"]})
