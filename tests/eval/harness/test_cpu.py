from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.harness.cpu import BackgroundLoad, ProcessorTime
from tests.eval.support.cpu import FakeProc

ME = os.getpid()


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


def test_the_time_of_processes_that_this_one_started_counts_as_its_own(proc: FakeProc) -> None:
    proc.process(7, ME, 1000)
    meter = ProcessorTime(proc.folder)
    proc.process(7, ME, 3000, of_children=500)  # a child, with what it waited for
    proc.process(8, 7, 4000)  # a grandchild
    proc.process(9, 1, 10**6)  # of somebody else
    assert meter.seconds() == pytest.approx(6500, abs=60)


def test_the_load_is_what_others_used_of_all_cores(proc: FakeProc) -> None:
    load = BackgroundLoad(proc.folder)
    proc.spend(user=60_000, idle=40_000)
    proc.process(7, ME, 37_000)
    assert load.share() == pytest.approx(0.23, abs=0.002)


def test_own_work_is_no_load(proc: FakeProc) -> None:
    load = BackgroundLoad(proc.folder)
    proc.spend(user=100_000, idle=0)
    proc.process(7, ME, 110_000)  # ticks are rounded
    assert load.share() == 0


def test_the_load_of_a_moment_is_not_known(proc: FakeProc, tmp_path: Path) -> None:
    assert BackgroundLoad(proc.folder).share() is None
    assert BackgroundLoad(tmp_path / "none").share() is None


def test_the_time_of_a_real_process_that_ended_is_in(proc: FakeProc) -> None:
    meter = ProcessorTime(proc.folder)
    work = "import time\nwhile time.process_time() < 0.1: pass"
    subprocess.run([sys.executable, "-c", work], check=True)
    assert meter.seconds() >= 0.09
