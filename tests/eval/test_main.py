from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.commands import ann as ann_command
from tests.eval.support.retrieval import Eval


def test_every_command_has_its_help(run_eval: Eval, capsys: Any) -> None:
    for command in ("list", "fetch", "run", "compare", "selftest"):
        assert run_eval(command, "--help") == 0
        assert f"eval {command}" in capsys.readouterr().out


def test_a_lack_of_memory_is_one_line(
    run_eval: Eval, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("Unable to allocate 7.28 PiB")

    monkeypatch.setattr(ann_command, "measure", fail)
    assert run_eval("ann", "--vectors", "50", "--queries", "2") == 2
    assert capsys.readouterr().err.splitlines() == [
        "eval: There is not enough memory. Unable to allocate 7.28 PiB"
    ]


def test_the_home_folder_of_nobody_is_one_line(
    run_eval: Eval, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_eval("run", "--dataset", "folder", "--root", Path("~no-such-user/photos")) == 2
    [line] = capsys.readouterr().err.splitlines()[-1:]
    assert "Dataset folder: '~no-such-user/photos' names no user's home folder." in line
