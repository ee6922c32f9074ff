"""Latency and throughput of bogv: closed and open loop, by stage.

Images -> cold starts -> warm-up -> a step for each concurrency (closed loop) and each rate (open
loop) -> Latency and its table, a row a request
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from bogv.sources.folders import find_images
from bogv.sources.samples import make_samples
from eval.errors import WorkbenchError
from eval.harness.cpu import BackgroundLoad
from eval.harness.load import (
    Image,
    Limits,
    OnAnswer,
    Request,
    Target,
    closed_loop,
    open_loop,
    poisson_arrivals,
)
from eval.harness.processes import run_in_process
from eval.harness.rest_target import RestTarget, TargetInfo
from eval.latency.result import REMAINDER, FirstRequest, ImagesPart, Latency, LoadFigures, LoadStep
from eval.latency.service_target import ServiceSetup, ServiceTarget, fill_service, start_cold
from eval.report.machine import describe_environment
from eval.report.results import Mean, percentile_mean, weights_part
from eval.statistics.percentiles import percentile

REQUESTS = "requests.parquet"
SHARES = (0.25, 0.5, 0.75, 0.9)
"""The open loop's default rates, as shares of the closed loop's best throughput."""
PERCENTILES = (50, 90, 99, 99.9)
MAX_IMAGES = 500
"""Held in memory to be sent."""
COLD_STARTS = 3
THREADS = 256
"""The maximum number of concurrent calls of the service; further ones wait."""


@dataclass(frozen=True)
class LatencyOptions:
    """The options of a measurement."""

    concurrency: Sequence[int]
    rates: Sequence[float] = ()
    """Requests a second; none: SHARES of the closed loop's best throughput."""
    requests: int = 200
    seconds: float = 60
    limit: int = 10
    timeout: float = 30
    warm_up: int = 20
    seed: int = 0
    command: str = ""
    progress: bool = True

    @property
    def limits(self) -> Limits:
        """Of a step."""
        return Limits(self.requests, self.seconds, self.timeout)


@dataclass(frozen=True)
class StepRequests:
    """A step and its requests."""

    step: LoadStep
    requests: list[Request]


@dataclass(frozen=True)
class LatencyOutcome:
    """The result of a measurement."""

    latency: Latency
    sent: list[StepRequests]


def measure_server(
    url: str, token: str | None, source: Path | None, options: LatencyOptions
) -> LatencyOutcome:
    """A running server. source: a folder of images; None: bogv's samples.

    Raises WorkbenchError where no bogv answers there.
    """
    with tempfile.TemporaryDirectory(prefix="bogv-latency-") as folder:
        name, paths = _find_images(source, Path(folder))
        images = read_images(paths, options.seed)
    start = time.perf_counter()

    async def measure() -> tuple[TargetInfo, list[FirstRequest], list[StepRequests]]:
        async with RestTarget(url, token, options.limit, options.timeout) as target:
            info = await target.describe()
            first = await closed_loop(target, images, 1, Limits(1, 1, options.timeout))
            return info, [_describe_first(first[0])], await run_steps(target, images, options)

    info, cold, sent = asyncio.run(measure())
    return _make_outcome(url, info, cold, sent, (name, images), options, start)


def measure_service(
    setup: ServiceSetup, source: Path | None, options: LatencyOptions
) -> LatencyOutcome:
    """The service in this process, on a gallery made of the images; its folder must be empty."""
    name, paths = _find_images(source, setup.folder / "samples")
    images = read_images(paths, options.seed)
    start = time.perf_counter()
    run_in_process(fill_service, setup, paths, options.progress)
    cold = [_measure_cold_start(setup, images[0], options) for _ in range(COLD_STARTS)]
    with setup.opened() as search, closing(ServiceTarget(search, options.limit, THREADS)) as target:
        info = target.describe()
        sent = asyncio.run(run_steps(target, images, options, own_process=True))
    return _make_outcome("service", info, cold, sent, (name, images), options, start)


async def run_steps(
    target: Target, images: Sequence[Image], options: LatencyOptions, *, own_process: bool = False
) -> list[StepRequests]:
    """Warm up, then each concurrency in turn, then each rate. Raises WorkbenchError.

    own_process: the target runs in this process.
    """
    count = len(options.concurrency) + len(options.rates or SHARES)
    with tqdm(
        total=options.warm_up + count * options.requests,
        unit="request",
        disable=not options.progress,
    ) as bar:

        def on_answer() -> None:
            bar.update()

        bar.set_description("Warming up")
        limits = Limits(options.warm_up, options.seconds, options.timeout)
        await closed_loop(target, images, max(options.concurrency), limits, on_answer)
        sent = []
        for concurrency in options.concurrency:
            bar.set_description(f"Closed loop, {concurrency} callers")
            sent.append(
                await _run_closed_step(target, images, concurrency, options, on_answer, own_process)
            )
        for rate, share in _open_loop_rates(options, sent):
            bar.set_description(f"Open loop, {rate:.3g} a second")
            sent.append(
                await _run_open_step(target, images, rate, share, options, on_answer, own_process)
            )
    return sent


def _open_loop_rates(
    options: LatencyOptions, closed: Sequence[StepRequests]
) -> list[tuple[float, float | None]]:
    if options.rates:
        return [(rate, None) for rate in options.rates]
    best = max(sent.step.measured.throughput for sent in closed)
    if not best:
        errors = sum((Counter(sent.step.measured.errors) for sent in closed), Counter())
        listed = ", ".join(f"{count} × {error}" for error, count in errors.most_common())
        raise WorkbenchError(f"No request was answered with hits: {listed}.")
    return [(share * best, share) for share in SHARES]


async def _run_closed_step(
    target: Target,
    images: Sequence[Image],
    concurrency: int,
    options: LatencyOptions,
    on_answer: OnAnswer,
    own_process: bool,
) -> StepRequests:
    cpu, load = time.process_time(), BackgroundLoad()
    requests = await closed_loop(target, images, concurrency, options.limits, on_answer)
    busy = None if own_process else time.process_time() - cpu
    found = _summarise_requests(requests, busy, load.share())
    step = LoadStep(mode="closed", concurrency=concurrency, rate=None, share=None, measured=found)
    return StepRequests(step, requests)


async def _run_open_step(
    target: Target,
    images: Sequence[Image],
    rate: float,
    share: float | None,
    options: LatencyOptions,
    on_answer: OnAnswer,
    own_process: bool,
) -> StepRequests:
    arrivals = poisson_arrivals(rate, options.requests, options.seed)
    cpu, load = time.process_time(), BackgroundLoad()
    requests = await open_loop(target, images, arrivals, options.limits, on_answer)
    if not requests:
        raise WorkbenchError(
            f"At {rate:.3g} requests a second, none arrives within {options.seconds:g} seconds."
        )
    busy = None if own_process else time.process_time() - cpu
    found = _summarise_requests(requests, busy, load.share())
    step = LoadStep(mode="open", concurrency=None, rate=round(rate, 4), share=share, measured=found)
    return StepRequests(step, requests)


def _summarise_requests(
    requests: Sequence[Request], busy: float | None, others: float | None
) -> LoadFigures:
    """busy: seconds of CPU time used by the generator. others: as `LoadFigures.others`."""
    latencies = 1000 * np.sort([request.latency for request in requests])
    lags = 1000 * np.sort([request.started - request.due for request in requests])
    answered = [request for request in requests if request.error is None]
    seconds = max(request.ended for request in requests)
    spread = {f"p{percent:g}": percentile(latencies, percent) for percent in PERCENTILES}
    spread = {"mean": float(latencies.mean()), **spread, "max": float(latencies[-1])}
    return LoadFigures(
        n=len(requests),
        seconds=round(seconds, 4),
        throughput=round(len(answered) / seconds, 4),
        errors=dict(Counter(each.error for each in requests if each.error is not None)),
        latency_ms={name: round(value, 3) for name, value in spread.items()},
        stages_ms=_stages(answered),
        lag_p99_ms=round(percentile(lags, 99), 3),
        generator_cpu=None if busy is None else round(busy / seconds, 3),
        others=others,
    )


def _stages(answered: Sequence[Request]) -> dict[str, float]:
    """Mean ms of each stage and the rest, which add up to the mean latency; empty if the target
    reports no stages."""
    telling = [request for request in answered if request.stages]
    if not telling:
        return {}
    means = {
        stage: 1000 * float(np.mean([request.stages.get(stage, 0.0) for request in telling]))
        for stage in telling[0].stages
    }
    means[REMAINDER] = 1000 * float(np.mean([each.latency for each in telling])) - sum(
        means.values()
    )
    return {stage: round(value, 3) for stage, value in means.items()}


def requests_table(sent: Sequence[StepRequests]) -> pd.DataFrame:
    """A row for each request, in the order of the steps and responses; times in ms."""
    return pd.DataFrame(
        [
            {
                "step": each.step.label,
                "mode": each.step.mode,
                "concurrency": each.step.concurrency,
                "rate": each.step.rate,
                "image": request.image,
                "bytes": request.size,
                "due_ms": 1000 * request.due,
                "started_ms": 1000 * request.started,
                "ended_ms": 1000 * request.ended,
                "latency_ms": 1000 * request.latency,
                "error": request.error,
                **{f"{stage}_ms": 1000 * value for stage, value in request.stages.items()},
            }
            for each in sent
            for request in each.requests
        ]
    ).astype({"concurrency": "Int64", "rate": "Float64", "error": "object"})


def read_images(paths: Sequence[Path], seed: int) -> list[Image]:
    """The images to be sent, in the seed's order: all of them, or as many as fit in memory."""
    order = np.random.default_rng(seed).permutation(len(paths))[:MAX_IMAGES]
    return [Image(f"{number}-{paths[number].name}", paths[number].read_bytes()) for number in order]


def _find_images(source: Path | None, samples: Path) -> tuple[str, list[Path]]:
    """The source's name and the images' paths."""
    if source is None:
        return "samples", make_samples(samples)
    paths = find_images([source])
    if not paths:
        raise WorkbenchError(f"There are no images in {source}.")
    return source.resolve().name, paths


def _describe_first(request: Request) -> FirstRequest:
    return FirstRequest(
        what="connection",
        opening_seconds=None,
        latency_ms=round(1000 * request.latency, 3),
        stages_ms=_stages([request]),
        error=request.error,
    )


def _measure_cold_start(setup: ServiceSetup, image: Image, options: LatencyOptions) -> FirstRequest:
    cold = run_in_process(start_cold, setup, image.data, options.limit)
    reply = cold.reply
    started, ended = reply.started or 0.0, reply.ended or 0.0
    request = Request(image.name, len(image.data), 0, 0, ended - started, reply.error, reply.stages)
    return FirstRequest(
        what="process",
        opening_seconds=round(cold.opening, 3),
        latency_ms=round(1000 * request.latency, 3),
        stages_ms=_stages([request]),
        error=request.error,
    )


def _make_outcome(
    target: str,
    info: TargetInfo,
    cold: list[FirstRequest],
    sent: list[StepRequests],
    source: tuple[str, list[Image]],
    options: LatencyOptions,
    start: float,
) -> LatencyOutcome:
    latency = Latency(
        weights=weights_part(info.weights, info.fingerprint),
        command=options.command,
        n=sum(len(each.requests) for each in sent),
        seed=options.seed,
        metrics=_metrics(sent),
        **describe_environment(),
        seconds={"whole": round(time.perf_counter() - start, 3)},
        target=target,
        gallery=info.count,
        database=info.database,
        engine=info.engine,
        images=_describe_images(*source),
        limit=options.limit,
        requests=options.requests,
        step_seconds=options.seconds,
        timeout_seconds=options.timeout,
        warm_up=options.warm_up,
        cold=cold,
        steps=[each.step for each in sent],
    )
    return LatencyOutcome(latency, sent)


def _metrics(sent: Sequence[StepRequests]) -> dict[str, Mean]:
    metrics = {}
    for each in sent:
        latencies = 1000 * np.sort([request.latency for request in each.requests])
        for percent in PERCENTILES:
            name = f"latency_p{percent:g}_ms@{each.step.label}"
            metrics[name] = percentile_mean(latencies, percent)
    return metrics


def _describe_images(source: str, images: Sequence[Image]) -> ImagesPart:
    sizes = sorted(len(image.data) for image in images)
    digest = hashlib.sha256()
    for image in images:
        digest.update(image.name.encode() + b"\0" + hashlib.sha256(image.data).digest())
    return ImagesPart(
        source=source,
        count=len(images),
        bytes_min=sizes[0],
        bytes_median=int(percentile(sizes, 50)),
        bytes_max=sizes[-1],
        digest=digest.hexdigest()[:12],
    )
