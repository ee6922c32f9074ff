"""Running work in fresh processes; their memory, and the load of the machine."""

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
    """Run a function in a fresh process. work: a module-level function.

    Raises the function's errors; WorkbenchError if the process is killed.
    """
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(work, *arguments).result()
    except BrokenProcessPool as error:
        raise WorkbenchError(
            f"A process of the measurement was killed ({work.__name__}), perhaps out of memory."
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_in_processes(work: Callable[..., T], arguments: Sequence[tuple[object, ...]]) -> list[T]:
    """Run a function for each tuple of arguments, in concurrent fresh processes.

    Raises as `run_in_process`.
    """
    with ThreadPoolExecutor(len(arguments)) as threads:
        return list(threads.map(lambda each: run_in_process(work, *each), arguments))


def resident_mib(process: int | None = None) -> float | None:
    """A process' resident memory in MiB, or None without /proc. process: its id; None: this one."""
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024


class BackgroundLoad:
    """Measures the share of CPU time used by other processes and the host, from now on."""

    def __init__(self) -> None:
        self._start = _ticks(), _own_seconds()

    def share(self) -> float | None:
        """The share of all cores' time, 0 to 1, or None without /proc. A virtual machine's host may
        not report the time it takes. Child processes count as this one's once they were waited for.
        """
        before, own_before = self._start
        now = _ticks()
        if before is None or now is None or now[0] == before[0]:
            return None
        whole, busy = (np.array(now) - before) / os.sysconf("SC_CLK_TCK")
        share = (busy - (_own_seconds() - own_before)) / whole
        return min(max(float(share), 0.0), 1.0)


def _ticks() -> tuple[int, int] | None:
    """Clock ticks of all cores since boot: total and not idle."""
    try:
        line = Path("/proc/stat").read_text("ascii").splitlines()[0]
    except OSError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user. man 5 proc_stat
    ticks = [int(each) for each in line.split()[1:9]]
    return sum(ticks), sum(ticks) - ticks[3] - ticks[4]


def _own_seconds() -> float:
    """CPU time of this process and of the children that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
