"""Taking variables out of the environment of this process, so that nothing can read them there."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_PROC = Path("/proc/self")


def forget(names: Iterable[str]) -> None:
    """Remove variables, in upper or lower case, for this process and those that it starts.

    On Linux, `/proc/<pid>/environ` goes on showing what the process was started with: there the
    values are overwritten in place. On macOS, `ps -E` shows them on, to the same user.
    """
    unwanted = {name.upper() for name in names}
    for name in list(os.environ):
        if name.upper() in unwanted:
            del os.environ[name]
    if (_PROC / "environ").exists():
        _overwrite(unwanted)


def _overwrite(unwanted: set[str]) -> None:
    """Zeros for the values, in the memory where the kernel put them: at `env_start`, fields 50 and
    51 of `/proc/self/stat` (proc_pid_stat(5)). Nothing refers to them after `unsetenv`."""
    fields = (_PROC / "stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    place = start
    # 0 is what a kernel tells that doesn't let the process look.
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        name, _, value = entry.partition(b"=")
        if os.fsdecode(name).upper() in unwanted:
            ctypes.memset(place + len(name) + 1, 0, len(value))
        place += len(entry) + 1
    if left := sorted(unwanted & _shown()):
        log.warning("/proc/self/environ still shows %s: give it as a file", ", ".join(left))


def _shown() -> set[str]:
    """The variables that have a value in `/proc/self/environ`."""
    entries = (_PROC / "environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name.upper() for name, _, value in pairs if value}
