from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest

from eval.harness.load import Image, Limits, Reply, closed_loop, open_loop, poisson_arrivals

T = TypeVar("T")

IMAGES = [Image("a", b"aa"), Image("b", b"b"), Image("c", b"")]
LIMITS = Limits(requests=100, seconds=1e9, timeout=1e9)


class _NoWaiting(asyncio.SelectorEventLoop):
    """An event loop whose time leaps to the next timer: nothing is waited for, times are exact."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready and scheduled:
            self._now = max(self._now, scheduled[0].when())
        super()._run_once()  # type: ignore[misc]


def played(work: Coroutine[Any, Any, T]) -> T:
    loop = _NoWaiting()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


@dataclass
class OneAtATime:
    """Answers one request after the other, in the time that each takes: one clerk, one queue."""

    seconds: list[float]
    """Of each request, in the order of their coming; the last one holds for all that follow."""
    errors: dict[int, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lock: asyncio.Lock | None = None

    async def send(self, image: Image) -> Reply:
        number = len(self.asked)
        self.asked.append(image.name)
        self.lock = self.lock or asyncio.Lock()
        async with self.lock:
            await asyncio.sleep(self.seconds[min(number, len(self.seconds) - 1)])
        return Reply(self.errors.get(number), {"search": 0.001})


def test_the_open_loop_counts_the_wait_behind_a_stalled_target() -> None:
    stalls = OneAtATime([10.0, 1.0])  # the first takes ten seconds, the others one
    due = np.array([0.0, 2.0, 4.0, 30.0])
    requests = played(open_loop(stalls, IMAGES, due, LIMITS))
    assert [request.due for request in requests] == [0, 2, 4, 30]
    # Due at 2, answered at 11; due at 4, answered at 12; by 30 the queue is empty again.
    assert [request.latency for request in requests] == pytest.approx([10, 9, 8, 1])


def test_the_closed_loop_asks_no_more_than_it_has_callers() -> None:
    stalls = OneAtATime([10.0, 1.0])
    requests = played(closed_loop(stalls, IMAGES, 1, Limits(4, 1e9, 1e9)))
    # The same target, asked by one caller: what waited above is not asked at all meanwhile.
    assert [request.latency for request in requests] == pytest.approx([10, 1, 1, 1])
    assert [request.due for request in requests] == pytest.approx([0, 10, 11, 12])


def test_more_callers_wait_for_each_other() -> None:
    requests = played(closed_loop(OneAtATime([1.0]), IMAGES, 3, Limits(9, 1e9, 1e9)))
    # 1, 2 and 3 seconds to begin with; then each is one of three in the queue.
    assert sorted(request.latency for request in requests) == pytest.approx([1, 2] + [3] * 7)
    assert requests[-1].ended == pytest.approx(9)


def test_images_are_sent_in_turns_and_all_requests_come_back() -> None:
    target = OneAtATime([0.5])
    requests = played(closed_loop(target, IMAGES, 2, Limits(7, 1e9, 1e9)))
    assert target.asked == ["a", "b", "c", "a", "b", "c", "a"]
    assert len(requests) == 7
    assert {request.image: request.size for request in requests} == {"a": 2, "b": 1, "c": 0}


def test_errors_and_timeouts_are_requests_like_any_other() -> None:
    target = OneAtATime([1.0, 1.0, 50.0, 1.0], errors={1: "not-an-image"})
    requests = played(closed_loop(target, IMAGES, 1, Limits(4, 1e9, timeout=5)))
    assert [request.error for request in requests] == [None, "not-an-image", "timeout", None]
    assert [request.latency for request in requests] == pytest.approx([1, 1, 5, 1])
    assert requests[2].stages == {}


def test_a_step_ends_on_time_but_waits_for_running_requests() -> None:
    closed = played(closed_loop(OneAtATime([2.0]), IMAGES, 1, Limits(100, seconds=5, timeout=9)))
    assert [request.ended for request in closed] == pytest.approx([2, 4, 6])
    due = np.arange(10.0)
    opened = played(open_loop(OneAtATime([2.0]), IMAGES, due, Limits(100, seconds=3, timeout=99)))
    assert [request.ended for request in opened] == pytest.approx([2, 4, 6])


def test_no_more_than_the_limit_of_requests_arrive() -> None:
    due = np.arange(10.0)
    assert len(played(open_loop(OneAtATime([0.1]), IMAGES, due, Limits(4, 99, 99)))) == 4


def test_every_response_is_reported() -> None:
    told: list[None] = []
    limits = Limits(5, 1e9, 1e9)
    played(closed_loop(OneAtATime([1.0]), IMAGES, 2, limits, lambda: told.append(None)))
    assert len(told) == 5


def test_a_target_that_knows_its_times_is_believed() -> None:
    class Knows:
        async def send(self, _: Image) -> Reply:
            await asyncio.sleep(3)
            return Reply(started=0.5, ended=2.0)

    (request,) = played(closed_loop(Knows(), IMAGES, 1, Limits(1, 9, 9)))
    assert (request.due, request.started, request.ended) == (0, 0.5, 2.0)


def test_arrivals_are_poisson() -> None:
    arrivals = poisson_arrivals(rate=50, requests=20_000, seed=1)
    gaps = np.diff(arrivals, prepend=0)
    assert (gaps > 0).all()
    # Exponential: mean and standard deviation are both 1 / rate; five standard errors are allowed.
    assert gaps.mean() == pytest.approx(1 / 50, rel=5 / 20_000**0.5)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.05)
    # Memoryless: a gap says nothing of the next one.
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 5 / 20_000**0.5


def test_a_seed_gives_one_pattern_at_any_rate() -> None:
    slow, fast = (poisson_arrivals(rate, 50, seed=7) for rate in (2, 8))
    assert np.allclose(slow, 4 * fast)
    assert not np.allclose(slow, poisson_arrivals(2, 50, seed=8))
    with pytest.raises(ValueError, match="must be positive"):
        poisson_arrivals(0, 1, 0)
