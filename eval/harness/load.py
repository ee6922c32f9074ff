"""Load on a target: so many requests at a time (closed loop), or as they come (open loop).

A request's latency runs from when it was *due* to when its answer was whole. In the open loop it is
due when it arrives, whether or not the target still works on those before it: where a generator
waits for answers before it asks again, a target that stalls is asked less and looks well
(coordinated omission; Gil Tene, "How NOT to Measure Latency", 2015). In the closed loop it is due
as soon as the caller before it is free.

Times are the event loop's, in seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

TIMEOUT = "timeout"

OnAnswer = Callable[[], None]


@dataclass(frozen=True)
class Image:
    """What is sent."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Reply:
    """What came back."""

    error: str | None = None
    """What went wrong, in a word or two; None: hits came."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, as the target tells them."""
    started: float | None = None
    """When work on it began, where the target knows better than the event loop."""
    ended: float | None = None
    """When it was whole, likewise."""


class Target(Protocol):
    """What is asked."""

    async def send(self, image: Image) -> Reply:
        """Search with an image. Never raises for what the target does wrong: that is a reply."""


@dataclass(frozen=True)
class Request:
    """One request and what became of it. Times: seconds since its step began."""

    image: str
    size: int
    """Bytes."""
    due: float
    started: float
    """Later than due: the generator, or its queue, held it up."""
    ended: float
    error: str | None
    stages: Mapping[str, float]

    @property
    def latency(self) -> float:
        """Seconds from when it was due."""
        return self.ended - self.due


@dataclass(frozen=True)
class Limits:
    """When a step ends, and when a request is given up."""

    requests: int
    seconds: float
    """After so long none is started; those under way are waited for."""
    timeout: float
    """Seconds from a request's start."""


async def closed_loop(
    target: Target,
    images: Sequence[Image],
    concurrency: int,
    limits: Limits,
    on_answer: OnAnswer = lambda: None,
) -> list[Request]:
    """So many callers, each of which asks again as soon as it is answered; in order of the ends.

    Request number i sends image number i, in turns.
    """
    run = _LoadRun(target, limits.timeout, on_answer)
    numbers = iter(range(limits.requests))

    async def caller() -> None:
        for number in numbers:
            due = run.now()
            if due >= limits.seconds:
                return
            await run.send(images[number % len(images)], due)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    return run.requests


async def open_loop(
    target: Target,
    images: Sequence[Image],
    arrivals: NDArray[np.float64],
    limits: Limits,
    on_answer: OnAnswer = lambda: None,
) -> list[Request]:
    """A request at each arrival (seconds from the start, ascending), whatever the target does."""
    run = _LoadRun(target, limits.timeout, on_answer)
    under_way = []
    for number, due in zip(count(), arrivals[: limits.requests].tolist()):
        if due >= limits.seconds:
            break
        # Always, also when it is late: it lets those that are under way have their turn.
        await asyncio.sleep(max(0.0, due - run.now()))
        image = images[number % len(images)]
        under_way.append(asyncio.create_task(run.send(image, due)))
    await asyncio.gather(*under_way)
    return run.requests


def poisson_arrivals(rate: float, requests: int, seed: int) -> NDArray[np.float64]:
    """(requests,) seconds from the start: a Poisson process of `rate` a second, ascending.

    The gaps are exponential; the same seed gives the same pattern, stretched by 1 / rate.
    """
    if rate <= 0:
        raise ValueError(f"A rate of {rate} requests a second is none.")
    gaps = np.random.default_rng(seed).standard_exponential(requests)
    arrivals: NDArray[np.float64] = np.cumsum(gaps) / rate
    return arrivals


class _LoadRun:
    """One step under way."""

    def __init__(self, target: Target, timeout: float, on_answer: OnAnswer) -> None:
        self.requests: list[Request] = []
        self._target = target
        self._timeout = timeout
        self._on_answer = on_answer
        self._clock = asyncio.get_running_loop().time
        self._begun = self._clock()

    def now(self) -> float:
        return self._clock() - self._begun

    async def send(self, image: Image, due: float) -> None:
        started = self.now()
        try:
            reply = await asyncio.wait_for(self._target.send(image), self._timeout)
        except asyncio.TimeoutError:
            reply = Reply(TIMEOUT)
        ended = self.now()
        self.requests.append(
            Request(
                image=image.name,
                size=len(image.data),
                due=due,
                started=started if reply.started is None else reply.started - self._begun,
                ended=ended if reply.ended is None else reply.ended - self._begun,
                error=reply.error,
                stages=reply.stages,
            )
        )
        self._on_answer()
