"""Running work in fresh processes, with nothing in memory and a cold start; memory and load."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from eval.errors import WorkbenchError

T = TypeVar("T")


def run_in_process(work: Callable[..., T], *arguments: object, **environment: str) -> T:
    """Do some work in a fresh process. work: a function of a module.

    Raises what the work raises; WorkbenchError where the process dies of something else.
    """
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(work, *arguments).result()
    except BrokenProcessPool as error:
        raise WorkbenchError(
            f"A process of the measurement died ({work.__name__}); was there enough memory?"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_in_processes(work: Callable[..., T], arguments: Sequence[tuple[object, ...]]) -> list[T]:
    """Do some work in as many fresh processes as there are arguments, all at the same time.

    Raises as `run_in_process`.
    """
    with ThreadPoolExecutor(len(arguments)) as threads:
        return list(threads.map(lambda each: run_in_process(work, *each), arguments))


def resident_mib(process: int | None = None) -> float | None:
    """What a process holds in memory, in MiB; None: this one. None where there is no /proc."""
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024


class BackgroundLoad:
    """The share of the processors that other processes and the host use, from now on."""

    def __init__(self) -> None:
        self._start = _ticks(), _own_seconds()

    def share(self) -> float | None:
        """Of all cores' time, 0 to 1; None where there is no /proc. A host may hide what it takes.

        Counts processes of this one's once they have ended and been waited for.
        """
        before, own_before = self._start
        now = _ticks()
        if before is None or now is None or now[0] == before[0]:
            return None
        whole, busy = (np.array(now) - before) / os.sysconf("SC_CLK_TCK")
        share = (busy - (_own_seconds() - own_before)) / whole
        return min(max(float(share), 0.0), 1.0)


def _ticks() -> tuple[int, int] | None:
    """Clock ticks of all cores since boot: all, and those not idle."""
    try:
        line = Path("/proc/stat").read_text("ascii").splitlines()[0]
    except OSError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user. man 5 proc_stat
    ticks = [int(each) for each in line.split()[1:9]]
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def _own_seconds() -> float:
    """Processor time of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
