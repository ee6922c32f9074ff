"""The Milvus server is killed and started again under load, while bogv goes on."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.bootstrap import open_sources
from bogv.config import Settings
from bogv.web.api import create_api
from tests.support.fakes import png
from tests.support.killing import Place
from tests.support.milvus_server import MilvusServer

pytestmark = [pytest.mark.soak, pytest.mark.server]

SIM = "/api/image/sim"
PATIENCE = 90  # s until it must have come back


class Client(threading.Thread):
    """Adds, searches and deletes keys of its own, one after the other, until it is stopped."""

    def __init__(self, client: TestClient, number: int, stop: threading.Event) -> None:
        super().__init__()
        self._client, self._stopped = client, stop
        self._choice = random.Random(number)
        self._seeds = range(100 * number, 100 * number + 20)
        self.there: set[str] = set()
        self.either: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.unclear: list[str] = []

    def run(self) -> None:
        while not self._stopped.is_set():
            seed, kind = self._choice.choice(self._seeds), self._choice.random()
            key = f"k{seed}"
            if kind < 0.3:
                self._ask("search", seed)
            elif kind < 0.7:
                self._settle(key, self._ask("add", seed) == 200, there=True)
            else:
                # Not found: it is gone as well.
                self._settle(key, self._ask("del", seed) in {200, 404}, there=False)

    def _settle(self, key: str, acknowledged: bool, there: bool) -> None:
        self.either.discard(key)
        if acknowledged:
            (self.there.add if there else self.there.discard)(key)
        else:
            self.either.add(key)

    def _ask(self, what: str, seed: int) -> int:
        if what == "del":
            answer = self._client.post(f"{SIM}/del/key", json={"key": f"k{seed}"})
        else:
            files, form = {"file": ("a.png", png(seed))}, {"key": f"k{seed}"}
            form = form if what == "add" else {}
            answer = self._client.post(f"{SIM}/{what}/file", files=files, data=form)
        self.statuses[answer.status_code] += 1
        if answer.status_code == 503:
            told = answer.json().get("error", {}).get("type")
            if told != "database-unavailable" or "Retry-After" not in answer.headers:
                self.unclear.append(answer.text)
            time.sleep(0.2)  # as Retry-After asks, only shorter
        return answer.status_code


def healthy(client: TestClient) -> bool:
    return client.get("/api/health").status_code == 200


def wait_for(client: TestClient, health: bool) -> None:
    deadline = time.monotonic() + PATIENCE
    while healthy(client) is not health:
        assert time.monotonic() < deadline, f"health is not {health}"
        time.sleep(0.2)


def test_nothing_acknowledged_is_lost_when_the_server_restarts_under_load(
    tmp_path: Path, milvus_server: MilvusServer
) -> None:
    place = Place(tmp_path, milvus_server.address)
    search, settings, stop = place.open(), Settings(), threading.Event()
    app = FastAPI()
    app.mount("/api", create_api(settings, search, open_sources(settings)))
    with TestClient(app, raise_server_exceptions=False) as client:
        clients = [Client(client, number, stop) for number in range(6)]
        for each in clients:
            each.start()
        try:
            time.sleep(5)
            milvus_server.kill()
            wait_for(client, health=False)
            time.sleep(3)
            milvus_server.start()
            wait_for(client, health=True)
            time.sleep(5)
        finally:
            stop.set()
            for each in clients:
                each.join()
    listed = {record.key for record in search.page(size=1000).records}
    statuses = sum((each.statuses for each in clients), Counter[int]())
    print(dict(statuses))
    assert set(statuses) <= {200, 404, 503}
    assert statuses[200] > statuses[404] > 0
    assert statuses[503] > 0
    assert [each.unclear for each in clients if each.unclear] == []
    either = set().union(*(each.either for each in clients))
    there = set().union(*(each.there for each in clients))
    assert listed - either == there - either
    for record in search.page(size=1000).records:
        assert search.thumbnails.read(record.id) is not None
    search.close()
