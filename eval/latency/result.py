"""run.json of `latency`."""

from __future__ import annotations

from typing import Any, Literal

from eval.report.results import Result, ResultPart, WeightsPart, short_hash

REMAINDER = "rest"
"""The stage that remains of the latency once all reported stages are subtracted."""


class ImagesPart(ResultPart):
    """The images that were sent."""

    source: str
    """A folder's name, or `samples`: bogv's own."""
    count: int
    """Number of different images; sent in turn, in an order that depends on the seed."""
    bytes_min: int
    bytes_median: int
    bytes_max: int
    digest: str
    """12 hex digits of names and bytes, in the order of sending."""


class FirstRequest(ResultPart):
    """A first request. Times."""

    what: Literal["process", "connection"]
    """The first of a fresh process, or over a new connection to a server, however warm that is."""
    opening_seconds: float | None
    """For the model and the gallery, imports left out; of a process."""
    latency_ms: float
    stages_ms: dict[str, float]
    error: str | None


class LoadFigures(ResultPart):
    """The results of a step. All depend on times."""

    n: int
    """Requests sent: fewer than requested if the time ran out."""
    seconds: float
    """From the start to the last response."""
    throughput: float
    """Successful requests per second."""
    errors: dict[str, int]
    """Number of failed requests by kind of error, such as `timeout`."""
    latency_ms: dict[str, float]
    """`mean`, `p50`, `p90`, `p99`, `p99.9` (nearest rank) and `max`, of all requests: one that
    failed counts with the time that it took."""
    stages_ms: dict[str, float]
    """Means, of the requests that were answered with hits. `rest` is what the stages leave: HTTP,
    the network, and waiting for a turn before the first stage."""
    lag_p99_ms: float
    """99th percentile of the delay of starting a request: large if the generator is the
    bottleneck."""
    generator_cpu: float | None
    """Seconds of CPU time per second used by the generator; near 1, it is the bottleneck.
    None if the target runs in the same process."""
    others: float | None
    """Share of the machine's CPU time that other processes used meanwhile, a server on this machine
    among them. None without /proc, and for less than a second of all cores' time."""


class LoadStep(ResultPart):
    """A period of constant load."""

    mode: Literal["closed", "open"]
    concurrency: int | None
    """Callers, in the closed loop."""
    rate: float | None
    """Requests a second, in the open loop. Depends on times where `share` is given."""
    share: float | None
    """Of the closed loop's best throughput."""
    measured: LoadFigures

    @property
    def label(self) -> str:
        """`c4`; `open50%`; `12.5/s`."""
        if self.mode == "closed":
            return f"c{self.concurrency}"
        return f"{self.rate:g}/s" if self.share is None else f"open{self.share:.0%}"


class Latency(Result):
    """What `latency` measures. Times, and what depends on them: n, metrics, seconds, cold, each
    step's rate (where none was given) and `measured`.

    metrics: `latency_p50_ms@c4` is the median of the closed loop with four callers; `@open50%` of
    the open loop at half the best throughput; `@12.5/s` at that rate. Their intervals are of order
    statistics (`eval.statistics.percentiles`); with too few requests there may be none.
    """

    kind: Literal["latency"] = "latency"
    weights: WeightsPart
    target: str
    """`service`, or the server's URL."""
    gallery: int
    """Number of images in the gallery."""
    database: str
    engine: str
    images: ImagesPart
    limit: int
    """Hits requested."""
    requests: int
    """Of a step, at most."""
    step_seconds: float
    """The time after which a step starts no request."""
    timeout_seconds: float
    warm_up: int
    """Requests before the first step, which are not counted."""
    cold: list[FirstRequest]
    steps: list[LoadStep]

    @property
    def folder(self) -> str:
        loads = [[s.concurrency, s.share, None if s.share else s.rate] for s in self.steps]
        identity = [self.target, self.gallery, self.database, self.engine, self.images.digest]
        identity += [self.weights.fingerprint, self.limit, self.requests, self.step_seconds]
        identity += [self.timeout_seconds, self.warm_up, self.seed, loads]
        kind = "service" if self.target == "service" else "rest"
        return f"latency-{kind}-{self.weights.name}-{short_hash(identity)}"

    @property
    def conditions(self) -> dict[str, Any]:
        return {
            "images": self.images.digest,
            "gallery": self.gallery,
            "number of hits": self.limit,
        }

    @property
    def labels(self) -> dict[str, str | int]:
        return {**super().labels, "target": self.target, "gallery": self.gallery}

    @property
    def best(self) -> float:
        """The closed loop's best throughput, requests a second."""
        return max(step.measured.throughput for step in self.steps if step.mode == "closed")
