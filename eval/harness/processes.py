"""Running work in fresh processes, and their memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from eval.errors import WorkbenchError

T = TypeVar("T")

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""An environment in which torch and numpy compute with one thread. Several wait for each other in a
loop, and on a busy machine that counts as many times the work."""


def run_in_process(work: Callable[..., T], *arguments: object, **environment: str) -> T:
    """Run a function in a fresh process. work: a module-level function.

    Raises the function's errors; WorkbenchError if the process is killed.
    """
    with _changed_environment(environment):
        return _run(work, arguments)


def run_in_processes(
    work: Callable[..., T], arguments: Sequence[tuple[object, ...]], **environment: str
) -> list[T]:
    """Run a function for each tuple of arguments, in concurrent fresh processes.

    Raises as `run_in_process`.
    """
    with _changed_environment(environment), ThreadPoolExecutor(len(arguments)) as threads:
        return list(threads.map(lambda each: _run(work, each), arguments))


def _run(work: Callable[..., T], arguments: tuple[object, ...]) -> T:
    try:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            return process.submit(work, *arguments).result()
    except BrokenProcessPool as error:
        raise WorkbenchError(
            f"A process of the measurement was killed ({work.__name__}), perhaps out of memory."
        ) from error


@contextmanager
def _changed_environment(environment: Mapping[str, str]) -> Iterator[None]:
    """For processes that are started meanwhile, which inherit it."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def pin_to_core(core: int) -> None:
    """Use one core, if the system supports it. Before OpenVINO is loaded, which then starts one
    thread."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[core : core + 1]))


def resident_mib(process: int | None = None) -> float | None:
    """A process' resident memory in MiB, or None without /proc. process: its id; None: this one."""
    try:
        lines = Path(f"/proc/{process or 'self'}/status").read_text("ascii").splitlines()
    except OSError:
        return None
    kib = next(line.split()[1] for line in lines if line.startswith("VmRSS:"))
    return int(kib) / 1024
