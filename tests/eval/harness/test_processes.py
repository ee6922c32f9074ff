from __future__ import annotations

import pytest

from eval.errors import WorkbenchError
from eval.harness.processes import run_in_process, run_in_processes


def test_work_runs_in_another_process_with_its_own_environment() -> None:
    assert run_in_process(_said, "BOGV_TEST", BOGV_TEST="yes") == "yes"
    assert _said("BOGV_TEST") is None


def test_several_processes_share_an_environment() -> None:
    assert run_in_processes(_said, [("BOGV_TEST",)] * 2, BOGV_TEST="yes") == ["yes", "yes"]
    assert _said("BOGV_TEST") is None


def test_a_process_that_dies_is_an_error_in_one_line() -> None:
    with pytest.raises(WorkbenchError, match=r"process of the measurement was killed \(_die\)"):
        run_in_process(_die)


def _said(name: str) -> str | None:
    import os

    return os.environ.get(name)


def _die() -> None:
    import os

    os._exit(9)
