from __future__ import annotations

from typing import Any

import pytest

from eval.commands import selftest as selftest_command
from eval.selftest import Canary
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
