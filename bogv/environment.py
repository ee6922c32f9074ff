"""Removal of secrets from this process' environment, where other processes could read them."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_PROC = Path("/proc/self")


def unset_variables(names: Iterable[str]) -> None:
    """Remove variables, ignoring case, for this process and its children.

    On Linux, `/proc/<pid>/environ` would still show the initial values, so they are overwritten in
    memory. On macOS, `ps -E` still shows them to the same user.
    """
    unwanted = {name.upper() for name in names}
    for name in list(os.environ):
        if name.upper() in unwanted:
            del os.environ[name]
    if (_PROC / "environ").exists():
        _overwrite(unwanted)


def _overwrite(unwanted: set[str]) -> None:
    """Overwrite the values with zeros in the memory from `env_start` to `env_end`, fields 50 and 51
    of `/proc/self/stat` (proc_pid_stat(5)). After `unsetenv`, nothing points to them."""
    fields = (_PROC / "stat").read_text().rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])
    address = start
    # The kernel reports 0 where the process may not read its own addresses.
    for entry in ctypes.string_at(start, end - start).split(b"\0") if start else ():
        name, _, value = entry.partition(b"=")
        if os.fsdecode(name).upper() in unwanted:
            ctypes.memset(address + len(name) + 1, 0, len(value))
        address += len(entry) + 1
    if visible := sorted(unwanted & _visible_variables()):
        log.warning(
            "/proc/self/environ still shows %s: use the variable's _FILE variant, if it has one",
            ", ".join(visible),
        )


def _visible_variables() -> set[str]:
    """The variables that have a value in `/proc/self/environ`."""
    entries = (_PROC / "environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name.upper() for name, _, value in pairs if value}
