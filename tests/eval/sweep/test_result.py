from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eval.errors import WorkbenchError
from eval.report.results import read_result, write
from eval.sweep.report import sweep_report
from eval.sweep.result import SWEEP, TABLE, Sweep, sweep_table
from eval.sweep.settings import SweptSettings
from tests.eval.support.sweep import make_row, make_sweep


def test_a_result_is_read_back_as_it_was_written(swept: tuple[Path, Sweep], tmp_path: Path) -> None:
    sweep = swept[1]
    table = sweep_table(sweep)
    folder = write(tmp_path, sweep, {}, sweep_report(sweep), {TABLE: table.to_csv})
    assert folder.name.startswith("sweep-folder-untrained-")
    assert read_result(folder, Sweep) == sweep
    assert read_result(folder / SWEEP, Sweep) == sweep
    assert not (folder / "run.json").exists()
    (folder / SWEEP).write_text('{"kind": "sweep"}')
    with pytest.raises(WorkbenchError, match=r"sweep\.json is no result of this version"):
        read_result(folder, Sweep)


def test_the_table_has_a_line_for_each_row_and_says_untrained(swept: tuple[Path, Sweep]) -> None:
    table = sweep_table(swept[1])
    assert table["setting"].tolist() == ["default", "pca:3", "pca:999", "aqe"]
    assert set(table["weights"]) == {"UNTRAINED"}
    assert table["post"].tolist() == ["none", "pca:3", "pca:999", "none"]
    assert pd.isna(table["value"][2])
    assert "999" in table["error"][2]
    assert table["runs"][0].startswith("folder-untrained-exact-16-")


def test_other_settings_or_code_have_another_folder() -> None:
    rows = [make_row("default", 0.5, 10)]
    own, gem = SweptSettings(), SweptSettings(pooling="gem")
    sweeps = [
        make_sweep(rows, [own]),
        make_sweep(rows, [own, gem]),
        make_sweep(rows, [own], revision="4567"),
        make_sweep(rows, [own], max_drop=0.02),
    ]
    assert len({each.folder for each in sweeps}) == 4
    assert make_sweep(rows, [own], seconds={"runs": 1.0}).folder == sweeps[0].folder


def test_a_search_costs_an_embedding_and_its_re_ranking() -> None:
    cost = make_row("a", 0.5, 10).cost
    assert cost is not None
    assert cost.ms == 10
    assert cost.model_copy(update={"rerank_ms": 2.5}).ms == 12.5
