"""Work in a fresh process: nothing that came before is in its memory, and its start is cold."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from eval.errors import WorkbenchError

T = TypeVar("T")


def apart(work: Callable[..., T], *arguments: object, **environment: str) -> T:
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


def resident_mib() -> float | None:
    """What this process holds in memory, in MiB; None where there is no /proc."""
    try:
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024
