"""Processor time: of this process with all that it started, and of other processes."""

from __future__ import annotations

import os
import time
from pathlib import Path

PROC = Path("/proc")
LEAST_SECONDS = 1.0
"""CPU time of all cores together that a share needs: the system counts in ticks of 10 ms."""


class ProcessorTime:
    """Processor time of this process and of all processes that it started, from now on.

    bogv decodes in processes of its own, whose time `time.process_time` leaves out. Theirs comes
    from /proc in ticks of 10 ms; without /proc, it counts only once they have ended.
    """

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        # This process' own time is read last, and first in `seconds`: reading takes time too.
        started = _started_seconds(proc)
        self._start = started + time.process_time()

    def seconds(self) -> float:
        """Seconds of processor time since the start."""
        own = time.process_time()
        return own + _started_seconds(self._proc) - self._start


class BackgroundLoad:
    """Measures the share of CPU time used by other processes and the host, from now on."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._own = ProcessorTime(proc)
        self._start = _machine_seconds(proc)

    def share(self) -> float | None:
        """The share of all cores' time, 0 to 1; None without /proc, and for too short a time.

        Other processes are all that this one didn't start. A virtual machine's host may not report
        the time that it takes.
        """
        now = _machine_seconds(self._proc)
        if self._start is None or now is None:
            return None
        whole, busy = now[0] - self._start[0], now[1] - self._start[1]
        if whole < LEAST_SECONDS:
            return None
        return round(min(max((busy - self._own.seconds()) / whole, 0.0), 1.0), 3)


def _machine_seconds(proc: Path) -> tuple[float, float] | None:
    """Seconds of all cores since boot: total and not idle."""
    try:
        line = (proc / "stat").read_text("ascii").splitlines()[0]
    except OSError:
        return None
    # user, nice, system, idle, iowait, irq, softirq, steal; guests are in user. man 5 proc_stat
    seconds = [_seconds(each) for each in line.split()[1:9]]
    return sum(seconds), sum(seconds) - seconds[3] - seconds[4]


def _started_seconds(proc: Path) -> float:
    """Of the processes below this one, and of those that ended and were waited for."""
    times = os.times()
    total = times.children_user + times.children_system
    processes = _read_processes(proc)
    parents = {os.getpid()}
    while parents:
        parents = {process for process, (parent, _) in processes.items() if parent in parents}
        total += sum(processes[process][1] for process in parents)
    return total


def _read_processes(proc: Path) -> dict[int, tuple[int, float]]:
    """Each process' parent, and its seconds with those of children that it waited for."""
    found = {}
    for path in proc.glob("[0-9]*/stat"):
        try:
            text = path.read_text("utf-8", "replace")
        except OSError:  # it has ended meanwhile
            continue
        # The name, in brackets, may hold anything. man 5 proc_pid_stat: 4 ppid; 14 to 17 utime,
        # stime, cutime, cstime.
        fields = text.rpartition(")")[2].split()
        found[int(path.parent.name)] = int(fields[1]), sum(map(_seconds, fields[11:15]))
    return found


def _seconds(ticks: str) -> float:
    return int(ticks) / os.sysconf("SC_CLK_TCK")
