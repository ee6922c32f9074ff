from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.eval.support.retrieval import Eval


def test_list_shows_all_datasets_and_which_are_downloaded(
    run_eval: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "clothing").mkdir()
    monkeypatch.setenv("BOGV_DATASETS", str(tmp_path))
    assert run_eval("list", "--json") == 0
    here = {each["id"]: each["here"] for each in json.loads(capsys.readouterr().out)}
    assert (here["digits"], here["clothing"], here["cifar10"]) == (True, True, False)
    assert run_eval("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("digits")).endswith("yes")


def test_fetch_reports_datasets_that_need_no_files_or_can_not_be_downloaded(
    run_eval: Eval, capsys: Any
) -> None:
    assert run_eval("fetch", "digits") == 0
    assert capsys.readouterr().out == "digits needs no files.\n"
    assert run_eval("fetch", "nonesuch") == 2
