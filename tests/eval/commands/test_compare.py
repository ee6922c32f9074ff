from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.ann.measure import measure
from eval.ann.report import ann_report
from eval.ann.result import POINTS, points_table
from eval.report.results import write
from tests.eval.support.ann import FLAT, options, source
from tests.eval.support.retrieval import Eval


def test_results_of_different_kinds_or_without_a_comparison_exit_with_2(
    run_eval: Eval, tmp_path: Path, capsys: Any
) -> None:
    for kind in ("run", "latency", "scale"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "run.json").write_text(json.dumps({"kind": kind}))
    assert run_eval("compare", tmp_path / "run", tmp_path / "latency") == 2
    assert "one is of 'run'" in capsys.readouterr().err
    assert run_eval("compare", tmp_path / "scale", tmp_path / "scale") == 2
    assert "Results of 'scale' have no comparison." in capsys.readouterr().err
    assert run_eval("compare", tmp_path / "none", tmp_path / "run") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("in_one_process")
def test_ann_results_are_compared_by_their_recall(
    run_eval: Eval, tmp_path: Path, capsys: Any
) -> None:
    found = measure(source(), options(FLAT))
    folder = write(tmp_path / "out", found, {POINTS: points_table(found)}, ann_report(found))
    assert run_eval("compare", folder, folder, "--json") == 0
    [recall, *_] = json.loads(capsys.readouterr().out)["comparisons"]
    assert recall["metric"].startswith("ann_recall@")
    assert recall["difference"]["value"] == 0
    assert run_eval("compare", folder, folder, "--metric", "ann_recall@5") == 0
    assert "would be found in 4 of 5" in capsys.readouterr().out
