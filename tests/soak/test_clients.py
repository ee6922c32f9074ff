"""64 clients at once, for minutes, against a model of what must be in the gallery.

`BOGV_SOAK_SECONDS` says how long on each back end (by default 60: `make soak` takes ten minutes).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bogv.records import md5_of
from bogv.storage.milvus import MilvusStore
from bogv.ui.demo import MAX_SESSIONS
from tests.support.fakes import encoded, picture
from tests.support.milvus_server import MilvusServer
from tests.support.running import Server, running

SECONDS = float(os.environ.get("BOGV_SOAK_SECONDS", "60"))
CLIENTS = 64
KEEPS = 8  # images of each client, so that the gallery stays as large as it is
STORM = 64  # searches that come at once, beyond the clients' own
BASE = "/api/image/sim"
GROWTH = 40  # MiB; a steady leak of 0.12 MiB a second shows in ten minutes, not in two

pytestmark = pytest.mark.soak


def image(client: int, number: int) -> bytes:
    """Another picture for each client and number, the same each time."""
    return encoded(picture(client * 1_000_000 + number, (96, 72)))


@dataclass
class Sums:
    """What all clients tell."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self, kind: str, outcome: str, seconds: float) -> None:
        with self.lock:
            self.outcomes[f"{kind} {outcome}"] += 1
            self.seconds.setdefault(kind, []).append(seconds)

    def fault(self, text: str) -> None:
        with self.lock:
            self.wrong.append(text)

    def lines(self) -> Iterator[str]:
        for name, count in sorted(self.outcomes.items()):
            yield f"{name}: {count}"
        for kind, values in sorted(self.seconds.items()):
            p50, p99 = np.percentile(values, [50, 99])
            yield f"{kind}: p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, n {len(values)}"


class Client:
    """Adds, searches and deletes images of its own, and remembers what must be there."""

    def __init__(self, number: int, url: str, sums: Sums) -> None:
        self.number = number
        self.sums = sums
        self.there: dict[str, bytes] = {}
        self._random = random.Random(number)
        self._made = 0
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def run(self, until: Callable[[], bool]) -> None:
        with self._http:
            while not until():
                steps = [self.add, self.search, self.search, self.search, self.again, self.delete]
                self._random.choice(steps)()

    def add(self) -> None:
        if len(self.there) >= KEEPS:
            self.delete()
            return
        self._made += 1
        key, data = f"c{self.number}-{self._made}", image(self.number, self._made)
        if self._ask("add", "add/file", files={"file": ("a.png", data)}, data={"key": key}):
            self.there[key] = data

    def again(self) -> None:
        """What is there is added once more: it must not be doubled."""
        if key := self._one():
            files = {"file": ("a.png", self.there[key])}
            self._ask("again", "add/file", files=files, data={"key": key})

    def search(self) -> None:
        if not (key := self._one()):
            return
        files = {"file": ("a.png", self.there[key])}
        hits = self._ask("search", "search/file", files=files, data={"limit": "3"})
        if hits is not None and key not in [hit["key"] for hit in hits]:
            self.sums.fault(f"{key} was not found among {hits}")

    def delete(self) -> None:
        if not (key := self._one()):
            return
        count = self._ask("delete", "del/key", json={"key": key})
        if count is not None:
            del self.there[key]
            if count != 1:
                self.sums.fault(f"deleting {key} deleted {count}")

    def _one(self) -> str | None:
        return self._random.choice(sorted(self.there)) if self.there else None

    def _ask(self, kind: str, route: str, **body: Any) -> Any:
        """The data; None where bogv said come again, and did nothing."""
        start = time.perf_counter()
        try:
            answer = self._http.post(f"{BASE}/{route}", **body)
        except httpx.HTTPError as error:
            self.sums.fault(f"{kind}: no answer: {error!r}")
            return None
        seconds = time.perf_counter() - start
        if is_shed(answer):
            self.sums.told(kind, "shed", seconds)
            time.sleep(self._random.random())
            return None
        self.sums.told(kind, str(answer.status_code), seconds)
        if answer.status_code != 200:
            self.sums.fault(f"{kind}: {answer.status_code} {answer.text}")
            return None
        return answer.json()["data"]


def is_shed(answer: httpx.Response) -> bool:
    """Whether bogv was too busy, and said so as it should."""
    if answer.status_code != 503 or answer.json()["error"]["type"] != "overloaded":
        return False
    return int(answer.headers["Retry-After"]) > 0


class Watch:
    """Asks health, the metrics and the demo all the time; now and then, it makes a storm."""

    def __init__(self, url: str, sums: Sums) -> None:
        self.sums = sums
        self.resident: list[tuple[float, float]] = []
        """Seconds since the start, MiB."""
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self._url = url
        self._start = time.monotonic()

    def visit(self) -> None:
        """Be as many visitors as the demo remembers: what they take, it has taken then."""
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(lambda _: self._timed("visit", self._page_of_demo), range(MAX_SESSIONS))
            )

    def close(self) -> None:
        self._http.close()

    def run(self, until: Callable[[], bool]) -> None:
        turn = 0
        while not until():
            turn += 1
            self._timed("health", lambda: self._http.get("/api/health"))
            self._timed("metrics", self._metrics)
            self._timed("demo", self._page_of_demo)
            if turn % 5 == 0:
                self._storm()
            time.sleep(0.5)

    def _timed(self, kind: str, ask: Callable[[], httpx.Response]) -> None:
        start = time.perf_counter()
        try:
            answer = ask()
        except httpx.HTTPError as error:
            self.sums.fault(f"{kind}: no answer: {error!r}")
            return
        self.sums.told(kind, str(answer.status_code), time.perf_counter() - start)
        if answer.status_code != 200:
            self.sums.fault(f"{kind}: {answer.status_code} {answer.text}")

    def _metrics(self) -> httpx.Response:
        answer = self._http.get("/api/metrics")
        for line in answer.text.splitlines():
            if line.startswith("process_resident_memory_bytes "):
                now = time.monotonic() - self._start
                self.resident.append((now, float(line.split()[1]) / 2**20))
        return answer

    def _page_of_demo(self) -> httpx.Response:
        """An event of the demo, from the queue to its answer."""
        joined = self._http.post("/gradio_api/call/page", json={"data": [4, "", ""]})
        if joined.status_code != 200:
            return joined
        answer = self._http.get(f"/gradio_api/call/page/{joined.json()['event_id']}")
        if "event: complete" not in answer.text:
            self.sums.fault(f"demo: {answer.text}")
        return answer

    def _storm(self) -> None:
        data = image(0, 0)

        def search(_: int) -> None:
            answer = httpx.post(
                f"{self._url}{BASE}/search/file",
                files={"file": ("a.png", data)},
                timeout=60,
                trust_env=False,
            )
            outcome = "shed" if is_shed(answer) else str(answer.status_code)
            self.sums.told("storm", outcome, answer.elapsed.total_seconds())
            if outcome not in {"200", "shed"}:
                self.sums.fault(f"storm: {outcome} {answer.text}")

        with ThreadPoolExecutor(STORM) as threads:
            list(threads.map(search, range(STORM)))
            self._timed("health", lambda: self._http.get("/api/health"))


def under_load(server: Server, seconds: float) -> tuple[Sums, list[Client], Watch]:
    """All clients at work for so long."""
    sums = Sums()
    clients = [Client(number, server.url, sums) for number in range(CLIENTS)]
    with closing(Watch(server.url, sums)) as watch:
        watch.visit()
        end = time.monotonic() + seconds

        def until() -> bool:
            return time.monotonic() > end or len(sums.wrong) > 20

        with ThreadPoolExecutor(CLIENTS + 1) as threads:
            jobs = [threads.submit(watch.run, until)]
            jobs += [threads.submit(each.run, until) for each in clients]
        for job in jobs:
            job.result()
    return sums, clients, watch


def sizes(resident: list[tuple[float, float]]) -> Iterator[str]:
    for at, size in resident[:: max(len(resident) // 10, 1)]:
        yield f"resident after {at:.0f} s: {size:.0f} MiB"


def grown(resident: list[tuple[float, float]]) -> tuple[float, float]:
    """MiB at the second quarter of the looks, when all is warm, and at the last: medians."""
    assert len(resident) >= 8, "too few looks to tell"
    seen = [size for _, size in resident]
    quarter = len(seen) // 4
    return float(np.median(seen[quarter : 2 * quarter])), float(np.median(seen[-quarter:]))


def rows_of(store: MilvusStore) -> Counter[tuple[str, str]]:
    """Key and MD5 of each row that is in the gallery."""
    try:
        fingerprint = store.existing_fingerprint()
        assert fingerprint is not None
        store.open(fingerprint, 2048)
        return Counter((each.key, each.md5) for each in store.newest(None, 10_000))
    finally:
        store.close()


def check(data: Path, open_store: Callable[[], MilvusStore], **environment: str) -> None:
    """Under load, everything that was acknowledged is so, and nothing else went wrong."""
    ours = {"BOGV_CANARY_SECONDS": "5", "BOGV_LOG_FORMAT": "json"}
    with running(data, **ours, **environment) as server:
        httpx.get(server.url, timeout=60, trust_env=False)  # the demo is there
        sums, clients, watch = under_load(server, SECONDS)
        health = server.health()
        early, late = grown(watch.resident)
        print("", *sums.lines(), *sizes(watch.resident), sep="\n")
        print(f"resident, second quarter and last: {early:.0f} and {late:.0f} MiB")
        print(f"health: {health}")
        assert sums.wrong == []
        assert health["status"] == "ok"
        assert late < early + GROWTH
    model = Counter((key, md5_of(image)) for each in clients for key, image in each.there.items())
    assert health["count"] == model.total()
    assert rows_of(open_store()) == model
    gallery_items = list((data / "thumbnails").rglob("*.webp"))
    assert len(gallery_items) == model.total()
    assert sums.outcomes["storm shed"] > 0
    assert all(line.startswith('{"time": ') for line in server.log.read_text().splitlines())


def test_64_clients_lose_nothing_and_get_no_error_but_come_again_on_lite(tmp_path: Path) -> None:
    data = tmp_path / "data"
    check(data, lambda: MilvusStore.lite(data, "images"))


@pytest.mark.server
def test_64_clients_lose_nothing_and_get_no_error_but_come_again_on_a_server(
    tmp_path: Path, milvus_server: MilvusServer
) -> None:
    host, port = milvus_server.address
    place = {"MILVUS_HOST": host, "MILVUS_PORT": str(port), "BOGV_COLLECTION": "clients"}
    check(tmp_path / "data", lambda: MilvusStore.server(host, port, "clients"), **place)
