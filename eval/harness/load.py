"""Load generators: a fixed number of concurrent requests (closed loop), or random arrivals (open
loop).

A request's latency is measured from when it was *due* to when its response was complete. In the
open loop, it is due at its arrival, whether or not earlier requests have been answered: if a
generator waits for responses, a target that stalls gets fewer requests and seems faster than it is
(coordinated omission; Gil Tene, "How NOT to Measure Latency", 2015). In the closed loop, it is due
as soon as its caller is free.

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
    """An image to be sent."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Reply:
    """A target's response."""

    error: str | None = None
    """The kind of error, in a word or two; None: success."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, as reported by the target."""
    started: float | None = None
    """When work on the request began, if the target measures it itself."""
    ended: float | None = None
    """When the response was complete, if the target measures it itself."""


class Target(Protocol):
    """The system under load."""

    async def send(self, image: Image) -> Reply:
        """Search with an image. Errors of the target are replies, not exceptions."""


@dataclass(frozen=True)
class Request:
    """A request and its outcome. Times: seconds since the start of its step."""

    image: str
    size: int
    """Bytes."""
    due: float
    started: float
    """Later than `due` if it waited in the generator or its queue."""
    ended: float
    error: str | None
    stages: Mapping[str, float]

    @property
    def latency(self) -> float:
        """Seconds from `due` to the complete response."""
        return self.ended - self.due


@dataclass(frozen=True)
class Limits:
    """The limits of a step and of a request."""

    requests: int
    seconds: float
    """After this, no request is started; running ones are waited for."""
    timeout: float
    """Of a request, seconds from its start."""


async def closed_loop(
    target: Target,
    images: Sequence[Image],
    concurrency: int,
    limits: Limits,
    on_answer: OnAnswer = lambda: None,
) -> list[Request]:
    """Run `concurrency` callers, each sending its next request after the response to the last.

    Returns the requests in the order in which they ended. The images are sent in turn.
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
    """Send a request at each arrival (seconds from the start, ascending), without waiting for
    earlier responses."""
    run = _LoadRun(target, limits.timeout, on_answer)
    running = []
    for number, due in zip(count(), arrivals[: limits.requests].tolist()):
        if due >= limits.seconds:
            break
        # Also when late, with 0 seconds: the other tasks run only during an await.
        await asyncio.sleep(max(0.0, due - run.now()))
        image = images[number % len(images)]
        running.append(asyncio.create_task(run.send(image, due)))
    await asyncio.gather(*running)
    return run.requests


def poisson_arrivals(rate: float, requests: int, seed: int) -> NDArray[np.float64]:
    """(requests,) seconds from the start: a Poisson process of `rate` a second, ascending.

    The gaps are exponential; the same seed gives the same pattern, stretched by 1 / rate.
    """
    if rate <= 0:
        raise ValueError(f"The rate must be positive, not {rate} requests a second.")
    gaps = np.random.default_rng(seed).standard_exponential(requests)
    arrivals: NDArray[np.float64] = np.cumsum(gaps) / rate
    return arrivals


class _LoadRun:
    """A running step."""

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
