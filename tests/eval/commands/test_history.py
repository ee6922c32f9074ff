from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.eval.support.history import written_run
from tests.eval.support.retrieval import Eval


def test_runs_are_added_listed_and_plotted(
    run_eval: Eval, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = ("--folder", tmp_path / "history")
    runs = [written_run(tmp_path, revision=name, value=0.5) for name in ("one", "two")]
    assert run_eval("history", "add", *runs, *history) == 0
    assert capsys.readouterr().out.startswith("2 added, 0 there already: ")
    assert run_eval("history", "add", runs[0], *history, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert run_eval("history", "list", *history) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("own, exact, fake, UNTRAINED feed  hit_rate@1 0.5000 [0.4000, 0.6000]")
    assert run_eval("history", "list", *history, "--json") == 0
    assert [entry["revision"] for entry in json.loads(capsys.readouterr().out)] == ["one", "two"]
    assert run_eval("history", "plot", *history) == 0
    assert (tmp_path / "history" / "trend.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == f"{tmp_path / 'history' / 'trend.png'}\n"
    assert run_eval("history", "plot", *history, "--to", tmp_path / "x.png", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"plot": str(tmp_path / "x.png")}


def test_what_cannot_be_added_or_plotted_is_one_line_and_status_2(
    run_eval: Eval, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = ("--folder", tmp_path / "history")
    for arguments in (("add", tmp_path), ("list",), ("plot", "--metric", "map")):
        assert run_eval("history", *arguments, *history) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith("eval: There is no ")
