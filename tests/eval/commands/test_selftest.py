from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from eval.commands import selftest as selftest_command
from eval.selftest import Canary
from eval.statistics.simulation import SimulationRow
from tests.eval.support.retrieval import Eval


def test_selftest_ends_with_1_when_a_canary_is_dead(
    run_eval: Eval, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    canaries = [Canary("sings", alive=True, detail="fine")]
    monkeypatch.setattr(selftest_command, "run_canaries", lambda: canaries)
    assert run_eval("selftest") == 0
    canaries.append(Canary("silent", alive=False, detail="no song"))
    assert run_eval("selftest", "--json") == 1
    assert capsys.readouterr().out.startswith("ok    sings: fine\n")


def test_the_table_of_the_simulation_is_printed_and_fails_with_1(
    run_eval: Eval, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    rows = [SimulationRow("mean of hits", "coverage", 0.95, 200, (0.93, 0.97), held=True)]
    monkeypatch.setattr(selftest_command, "simulate", lambda draws: iter(rows[:draws]))
    assert run_eval("selftest", "--statistics") == 0
    assert capsys.readouterr().out == "ok      coverage      0.950  (0.93 to 0.97)  mean of hits\n"
    rows.append(replace(rows[0], value=0.5, held=False))
    assert run_eval("selftest", "--statistics", "--json", "--draws", "200") == 1
    assert [row["held"] for row in json.loads(capsys.readouterr().out)] == [True, False]
