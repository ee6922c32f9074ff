from __future__ import annotations

from typing import Any

from tests.eval.support.retrieval import Eval


def test_every_command_has_its_help(run_eval: Eval, capsys: Any) -> None:
    for command in ("list", "fetch", "run", "compare", "selftest"):
        assert run_eval(command, "--help") == 0
        assert f"eval {command}" in capsys.readouterr().out
