"""What `speed` measures of a server in a process of its own: how it starts, searches, and grows."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from eval.errors import WorkbenchError
from eval.harness.load import Image, Limits, Request, closed_loop
from eval.harness.processes import run_in_process
from eval.harness.rest_target import SEARCH, RestTarget, multipart, stages
from eval.harness.servers import Server, serving
from eval.report.results import Mean, means_of, percentile_mean
from eval.speed.result import Goal, Line, make_line
from eval.speed.setting import Setting, SpeedOptions
from eval.speed.worker import K, fill_gallery, search_by_baseline
from eval.statistics.percentiles import percentile

USUAL_SEARCHES = 20
"""Searches of the baseline, which is slow, with little variance."""
RECALL_QUERIES = 200
STARTS = 3
ALONE, CONCURRENT, CROWD = 1, 8, 16
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
    first: list[tuple[float, float]] = []
    second: list[tuple[float, float]] = []
    torch = []
    for number in range(STARTS):
        data = folder / f"start-{number}"
        data.mkdir()
        if (setting.data / "models").is_dir():
            shutil.copytree(setting.data / "models", data / "models")
        for starts in (first, second):
            with serving(data, **setting.environment) as server:
                starts.append((server.start_seconds, _first_answer(server, image)))
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


def _start_lines(
    first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]
) -> list[Line]:
    """(seconds to /api/health, seconds to the first search) of each start."""
    return [
        make_line(
            f"second start to {answer}, median of {len(second)}",
            "s",
            statistics.median(start[at] for start in second),
            baseline=statistics.median(start[at] for start in first),
            against="first start, empty data folder",
            less_is_better=True,
            goal=START_SECONDS,
        )
        for at, answer in enumerate(("the first answer of /api/health", "the first search's hits"))
    ]


def _torch_line(loaded: Sequence[bool | None]) -> Line:
    known = None if None in loaded else float(sum(map(bool, loaded)))
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
    report_step("searching the usual way")
    usual = run_in_process(
        search_by_baseline,
        setting,
        folder / "usual-search",
        options.gallery,
        options.seed,
        paths[:USUAL_SEARCHES],
        min(USUAL_SEARCHES, options.searches),
    )
    report_step("searching over REST")
    images = [Image(path.name, path.read_bytes()) for path in paths]
    with serving(setting.data, **setting.environment) as server:
        _send_requests(server, images, WARM_UP, CROWD)
        sent = {
            clients: _send_requests(server, images, options.searches, clients)
            for clients in (ALONE, CONCURRENT, CROWD)
        }
        above = _measure_overheads(server, images, options.searches)
        report_step("soaking")
        memory = _measure_memory(server, images, options)
    lines = [*_search_lines(sent, usual, above, options.gallery), *memory]
    lines.append(_recall_line(metrics[f"ann_recall@{K}"].value, options.gallery))
    return lines, metrics | _latencies(sent)


def _recall_line(recall: float, gallery: int) -> Line:
    return make_line(
        f"ann_recall@{K}, {gallery:,} clustered vectors",
        "",
        recall,
        baseline=1.0,
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


def _search_lines(
    sent: dict[int, list[Request]], usual: Sequence[float], above: Sequence[float], gallery: int
) -> list[Line]:
    alone, concurrent = ([r.latency for r in sent[n]] for n in (ALONE, CONCURRENT))
    tail = percentile(sorted(concurrent), 99) / percentile(sorted(concurrent), 50)
    rates = {clients: len(sent[clients]) / max(r.ended for r in sent[clients]) for clients in sent}
    return [
        make_line(
            f"one search over REST, {gallery:,} images, median",
            "ms",
            1000 * statistics.median(alone),
            baseline=1000 * statistics.median(usual),
            against="the usual way, in its process",
            less_is_better=True,
            goal=SEARCH_RATIO if gallery >= ASKED_GALLERY else None,
        ),
        make_line(f"p99 / p50 with {CONCURRENT} clients", "", tail, goal=TAIL),
        make_line(
            "REST and service above decode + embed + search, median",
            "ms",
            1000 * statistics.median(above),
            goal=OVERHEAD_MS,
        ),
        make_line(
            f"searches a second, {CROWD} clients",
            "searches/s",
            rates[CROWD],
            baseline=rates[ALONE],
            against="one client",
            goal=CROWD_RATIO,
        ),
    ]


def _latencies(sent: dict[int, list[Request]]) -> dict[str, Mean]:
    metrics = {}
    for clients, requests in sent.items():
        latencies = 1000 * np.sort([request.latency for request in requests])
        for percent in (50, 99):
            metrics[f"search_p{percent}_ms@c{clients}"] = percentile_mean(latencies, percent)
    return metrics


def _measure_memory(server: Server, images: Sequence[Image], options: SpeedOptions) -> list[Line]:
    before = server.resident_mib()
    _send_requests(server, images, options.soak, CONCURRENT)
    after = server.resident_mib()
    growth = None if before is None or after is None else _megabytes(after - before)
    enough = options.gallery >= ASKED_GALLERY
    return [
        make_line(
            f"memory of the server, {options.gallery:,} images",
            "MB",
            None if after is None else _megabytes(after),
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
