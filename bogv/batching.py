"""Work that comes from many threads, done together."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Does what comes from many threads in batches of at most `most`, one batch at a time.

    Who comes while a batch is under way shares the next one with all who wait, in the order in
    which they came; who comes alone waits for nobody. work: a result for each item, in their
    order; what it raises, everyone who shared the batch gets.
    """

    def __init__(self, work: Callable[[list[T]], Sequence[R]], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[_Job[T, R]] = deque()
        self._turn = threading.Lock()

    def __call__(self, item: T) -> R:
        """The item's result, once it is done."""
        job: _Job[T, R] = _Job(item)
        self._waiting.append(job)
        with self._turn:
            # Another's turn may have done it already.
            while not job.done():
                count = min(len(self._waiting), self._most)
                self._run([self._waiting.popleft() for _ in range(count)])
        return job.result()

    def _run(self, jobs: list[_Job[T, R]]) -> None:
        try:
            results = self._work([job.item for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                job.set_result(result)
        except BaseException as error:  # a fault of ours, or Ctrl-C: nobody must wait for ever
            for job in jobs:
                job.set_exception(error)
            if not isinstance(error, Exception):
                raise


class _Job(Future[R], Generic[T, R]):
    """An item that waits for its result."""

    def __init__(self, item: T) -> None:
        super().__init__()
        self.item = item
