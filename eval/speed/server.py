"""What `speed` measures of a server in a process of its own: how it starts, searches, and grows."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from eval.errors import WorkbenchError
from eval.harness.cpu import BackgroundLoad
from eval.harness.load import Image, Limits, Request, closed_loop
from eval.harness.processes import run_in_process
from eval.harness.rest_target import SEARCH, RestTarget, multipart, stages
from eval.harness.servers import Server, serving
from eval.report.results import Mean, means_of, percentile_mean
from eval.speed.result import Goal, Line, Sample, make_line
from eval.speed.setting import Setting, SpeedOptions
from eval.speed.worker import K, fill_baseline, fill_gallery, search_by_baseline
from eval.statistics.percentiles import percentile

USUAL_SEARCHES = 20
"""Searches of the baseline in each round; it is slow, with little variance."""
RECALL_QUERIES = 200
STARTS = 3
CLIENTS = ALONE, CONCURRENT, CROWD = 1, 8, 16
WARM_UP = 32
"""Searches that are not counted, by enough clients for the batch model to be compiled."""
WAIT_SECONDS = 60.0
ASKED_GALLERY, ASKED_SOAK = 10_000, 20_000
"""The sizes for which the goals hold. With less, such a line is not judged."""

SEARCH_RATIO = Goal(of="ratio", at_least=5)
TAIL = Goal(of="bogv", at_most=3)
OVERHEAD_MS = Goal(of="bogv", at_most=5)
CROWD_RATIO = Goal(of="ratio", at_least=1.5)
START_SECONDS = Goal(of="bogv", at_most=5)
NO_TORCH = Goal(of="bogv", at_most=0)
MEMORY_MB = Goal(of="bogv", at_most=1200)
GROWTH_MB = Goal(of="bogv", at_most=20)
"""1 kB a search over 20,000: less than that is the allocator's."""
RECALL = Goal(of="bogv", at_least=0.99)


# Starting


def measure_starts(setting: Setting, folder: Path, image: Path) -> list[Line]:
    """First and second starts, each pair on a data folder of its own; the last one's converted
    model is kept for what follows."""
    first: list[Start] = []
    second: list[Start] = []
    torch = []
    for number in range(STARTS):
        data = folder / f"start-{number}"
        data.mkdir()
        if (setting.data / "models").is_dir():
            shutil.copytree(setting.data / "models", data / "models")
        for starts in (first, second):
            load = BackgroundLoad()
            with serving(data, **setting.environment) as server:
                answer = _first_answer(server, image)
                starts.append(Start(server.start_seconds, answer, load.share()))
                loaded = server.has_loaded("libtorch")
        torch.append(loaded)
    converted = folder / f"start-{STARTS - 1}" / "cache"
    if converted.is_dir():  # int8 has its model elsewhere
        shutil.copytree(converted, setting.data / "cache")
    return [*_start_lines(first, second), _torch_line(torch)]


def _first_answer(server: Server, image: Path) -> float:
    """Seconds from the start of the process to the answer of a first search."""
    begun = time.perf_counter()
    asked = [Image(image.name, image.read_bytes())]
    _send_requests(server, asked, 1, ALONE)
    return server.start_seconds + time.perf_counter() - begun


@dataclass(frozen=True)
class Start:
    """A start of a server, in seconds."""

    health: float
    """To the first answer of /api/health."""
    search: float
    """To the first search's hits."""
    others: float | None


def _start_lines(first: Sequence[Start], second: Sequence[Start]) -> list[Line]:
    def samples(starts: Sequence[Start], name: str) -> list[Sample]:
        return [Sample(getattr(start, name), start.others) for start in starts]

    answers = {"health": "the first answer of /api/health", "search": "the first search's hits"}
    return [
        make_line(
            f"second start to {answer}",
            "s",
            samples(second, name),
            baseline=samples(first, name),
            against="first start, empty data folder",
            less_is_better=True,
            goal=START_SECONDS,
        )
        for name, answer in answers.items()
    ]


def _torch_line(loaded: Sequence[bool | None]) -> Line:
    known = [] if None in loaded else [Sample(sum(map(bool, loaded)))]
    return make_line(f"second starts of {len(loaded)} that loaded torch", "", known, goal=NO_TORCH)


# Searching


def measure_searches(
    setting: Setting,
    folder: Path,
    paths: Sequence[Path],
    options: SpeedOptions,
    report_step: Callable[[str], None],
) -> tuple[list[Line], dict[str, Mean]]:
    """Lines and metrics of a server with a full gallery.

    report_step: called with the name of each step as it begins.
    """
    report_step("filling the gallery")
    recalls = run_in_process(fill_gallery, setting, options.gallery, options.seed, RECALL_QUERIES)
    metrics = means_of({f"ann_recall@{K}": recalls}, options.seed)
    usual = folder / "usual-search"
    run_in_process(fill_baseline, setting, usual, options.gallery, options.seed)
    images = [Image(path.name, path.read_bytes()) for path in paths]
    rounds = []
    with serving(setting.data, **setting.environment) as server:
        _send_requests(server, images, WARM_UP, CROWD)
        for number in range(options.rounds):
            of = f"{number + 1} of {options.rounds}"
            report_step(f"searching, {of}: the usual way")
            asked = paths[:USUAL_SEARCHES], min(USUAL_SEARCHES, options.searches)
            baseline = run_in_process(search_by_baseline, setting, usual, *asked)
            report_step(f"searching, {of}: over REST")
            rounds.append(_search_round(server, images, options.searches, baseline))
        report_step("soaking")
        memory = _measure_memory(server, images, options)
    lines = [*_search_lines(rounds, options.gallery), *memory]
    lines.append(_recall_line(metrics[f"ann_recall@{K}"].value, options.gallery))
    return lines, metrics | _latencies(rounds)


@dataclass(frozen=True)
class SearchRound:
    """A round of searches."""

    usual: Sample
    """Median seconds of the baseline."""
    sent: dict[int, tuple[list[Request], float | None]]
    """By the number of clients, with the share of CPU time that other processes used."""
    above: Sample
    """Median seconds of the overhead."""


def _search_round(
    server: Server, images: Sequence[Image], searches: int, usual: Sample
) -> SearchRound:
    sent = {}
    for clients in CLIENTS:
        load = BackgroundLoad()
        requests = _send_requests(server, images, searches, clients)
        sent[clients] = requests, load.share()
    load = BackgroundLoad()
    above = statistics.median(_measure_overheads(server, images, searches))
    return SearchRound(usual, sent, Sample(above, load.share()))


def _recall_line(recall: float, gallery: int) -> Line:
    return make_line(
        f"ann_recall@{K}, {gallery:,} clustered vectors",
        "",
        [Sample(recall)],
        baseline=[Sample(1.0)],
        against="exact search",
        goal=RECALL if gallery >= ASKED_GALLERY else None,
    )


def _send_requests(
    server: Server, images: Sequence[Image], searches: int, clients: int
) -> list[Request]:
    """Send searches from concurrent clients, each sending the next one after a response.

    Raises WorkbenchError where one of them is not answered with hits.
    """

    async def ask() -> list[Request]:
        async with RestTarget(server.url, None, K, WAIT_SECONDS) as target:
            limits = Limits(searches, float("inf"), WAIT_SECONDS)
            return await closed_loop(target, images, clients, limits)

    requests = asyncio.run(ask())
    for request in requests:
        if request.error is not None:
            raise WorkbenchError(f"A search failed: {request.error}.")
    return requests


def _measure_overheads(server: Server, images: Sequence[Image], searches: int) -> list[float]:
    """The overhead of each search, in seconds, beyond its stages; one after the other.

    By the standard library's blocking client: `RestTarget` takes 2 to 3 ms a request of its own, on
    the same cores, which is nothing that the service could save.
    """
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    above = []
    with closing(connection):
        for image in islice(cycle(images), searches):
            body, kind = multipart(image, K)
            start = time.perf_counter()
            connection.request("POST", SEARCH, body, {"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            seconds = time.perf_counter() - start
            if answer.status != 200:
                raise WorkbenchError(f"A search failed: status {answer.status}.")
            bare = stages(answer.headers["Server-Timing"])
            above.append(seconds - sum(bare[stage] for stage in ("decode", "embed", "search")))
    return above


def _search_lines(rounds: Sequence[SearchRound], gallery: int) -> list[Line]:
    def samples(clients: int, figure: Callable[[list[Request]], float]) -> list[Sample]:
        return [
            Sample(figure(found), others) for found, others in (r.sent[clients] for r in rounds)
        ]

    return [
        make_line(
            f"one search over REST, {gallery:,} images, median",
            "ms",
            samples(ALONE, lambda requests: 1000 * percentile(_latencies_of(requests), 50)),
            baseline=[Sample(1000 * r.usual.value, r.usual.others) for r in rounds],
            against="the usual way, in its process",
            less_is_better=True,
            goal=SEARCH_RATIO if gallery >= ASKED_GALLERY else None,
        ),
        make_line(
            f"p99 / p50 with {CONCURRENT} clients", "", samples(CONCURRENT, _tail), goal=TAIL
        ),
        make_line(
            "REST and service above decode + embed + search, median",
            "ms",
            [Sample(1000 * r.above.value, r.above.others) for r in rounds],
            goal=OVERHEAD_MS,
        ),
        make_line(
            f"searches a second, {CROWD} clients",
            "searches/s",
            samples(CROWD, _rate),
            baseline=samples(ALONE, _rate),
            against="one client",
            goal=CROWD_RATIO,
        ),
    ]


def _latencies_of(requests: Sequence[Request]) -> list[float]:
    """Seconds, ascending."""
    return sorted(request.latency for request in requests)


def _tail(requests: Sequence[Request]) -> float:
    return percentile(_latencies_of(requests), 99) / percentile(_latencies_of(requests), 50)


def _rate(requests: Sequence[Request]) -> float:
    return len(requests) / max(request.ended for request in requests)


def _latencies(rounds: Sequence[SearchRound]) -> dict[str, Mean]:
    """Percentiles over all rounds."""
    metrics = {}
    for clients in CLIENTS:
        requests = [request for each in rounds for request in each.sent[clients][0]]
        latencies = 1000 * np.array(_latencies_of(requests))
        for percent in (50, 99):
            metrics[f"search_p{percent}_ms@c{clients}"] = percentile_mean(latencies, percent)
    return metrics


def _measure_memory(server: Server, images: Sequence[Image], options: SpeedOptions) -> list[Line]:
    before = server.resident_mib()
    _send_requests(server, images, options.soak, CONCURRENT)
    after = server.resident_mib()
    growth = [] if before is None or after is None else [Sample(_megabytes(after - before))]
    enough = options.gallery >= ASKED_GALLERY
    return [
        make_line(
            f"memory of the server, {options.gallery:,} images",
            "MB",
            [] if after is None else [Sample(_megabytes(after))],
            goal=MEMORY_MB if enough else None,
        ),
        make_line(
            f"its growth over {options.soak:,} searches",
            "MB",
            growth,
            goal=GROWTH_MB if enough and options.soak >= ASKED_SOAK else None,
        ),
    ]


def _megabytes(mib: float) -> float:
    return mib * 2**20 / 1e6
