"""Batching of calls from several threads, and of long iterables."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Runs calls from several threads in batches of at most `max_size`, one batch at a time.

    Calls that arrive while a batch is running are queued and form the next batch, first come,
    first served; a call that finds no batch running runs at once. work: returns a result for each
    item, in their order; an exception that it raises is raised from every call of the batch.
    """

    def __init__(self, work: Callable[[list[T]], Sequence[R]], max_size: int) -> None:
        self._work = work
        self._max_size = max_size
        self._waiting: deque[_Job[T, R]] = deque()
        self._batch_lock = threading.Lock()

    def __call__(self, item: T) -> R:
        """Queue an item, wait until its batch has run, and return its result."""
        job: _Job[T, R] = _Job(item)
        self._waiting.append(job)
        with self._batch_lock:
            # Another thread may have run this job in its batch.
            while not job.done():
                count = min(len(self._waiting), self._max_size)
                self._run([self._waiting.popleft() for _ in range(count)])
        return job.result()

    def _run(self, jobs: list[_Job[T, R]]) -> None:
        try:
            results = self._work([job.item for job in jobs])
            for job, result in zip(jobs, results, strict=True):
                job.set_result(result)
        except BaseException as error:  # also on Ctrl-C, or the other threads would wait for ever
            for job in jobs:
                job.set_exception(error)
            if not isinstance(error, Exception):
                raise


class _Job(Future[R], Generic[T, R]):
    """A queued item and the future of its result."""

    def __init__(self, item: T) -> None:
        super().__init__()
        self.item = item


def split(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one perhaps of fewer; items are taken when needed."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])


def prefetch(items: Iterable[T]) -> Iterator[T]:
    """The same items, each computed in a thread while the caller uses the one before it."""
    rest = iter(items)

    def take_next() -> list[T]:
        return list(islice(rest, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="bogv-prefetch") as thread:
        future = thread.submit(take_next)
        while item := future.result():
            future = thread.submit(take_next)
            yield item[0]
