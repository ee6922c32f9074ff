"""Health: a database that is busy, silent or gone, on a thread and a clock of the tests."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import cast

import pytest
from starlette.concurrency import run_in_threadpool

from bogv.errors import DatabaseUnavailable
from bogv.records import CopyProgress, Stats
from bogv.service import ImageSearch
from bogv.web import health
from bogv.web.health import Health

STATS = Stats(3, "Milvus Lite", "images", "custom", "f", "fake", 0, "0", CopyProgress(3, 2, 1))


class Database:
    """Counts how often it is asked; says what it is told to, once it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.gone = False

    def check_folders(self) -> None:
        """They are there."""

    def stats(self) -> Stats:
        self.asked += 1
        assert self.may_answer.wait(30)
        if self.gone:
            raise DatabaseUnavailable("Milvus doesn't answer.")
        return STATS


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def asked_health(database: Database) -> Health:
    return Health(cast(ImageSearch, database), None)


def test_health_needs_none_of_the_shared_threads(asked_health: Health) -> None:
    async def story() -> None:
        begun, gate = threading.Semaphore(0), threading.Event()

        def work() -> None:
            begun.release()
            assert gate.wait(30)

        busy = [asyncio.create_task(run_in_threadpool(work)) for _ in range(50)]
        for _ in range(40):
            await asyncio.to_thread(begun.acquire, timeout=30)
        assert await asked_health.stats() == STATS
        gate.set()
        await asyncio.gather(*busy)

    asyncio.run(story())


def test_a_flood_of_questions_is_one_for_the_database(
    database: Database, asked_health: Health
) -> None:
    async def story() -> None:
        database.may_answer.clear()
        flood = [asyncio.create_task(asked_health.stats()) for _ in range(100)]
        await asyncio.sleep(0)
        database.may_answer.set()
        assert await asyncio.gather(*flood) == [STATS] * 100

    asyncio.run(story())
    assert database.asked == 1


def test_a_slow_database_is_answered_for_with_what_it_said_last_but_not_for_long(
    database: Database, asked_health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(health, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    async def story() -> None:
        database.may_answer.clear()
        with pytest.raises(DatabaseUnavailable, match="has not answered for 0 s"):
            await asked_health.stats()  # it has never answered
        database.may_answer.set()
        while await asyncio.to_thread(lambda: asked_health._last) is None:
            await asyncio.sleep(0.001)
        database.may_answer.clear()
        clock[0] = 100  # nobody has asked for long, which is no silence
        assert await asked_health.stats() == STATS
        clock[0] = 116
        with pytest.raises(DatabaseUnavailable, match="has not answered for 16 s"):
            await asked_health.stats()
        assert database.asked == 2  # the third question joined the second
        database.may_answer.set()

    asyncio.run(story())


def test_health_hears_of_a_database_that_goes_and_comes(
    database: Database, asked_health: Health
) -> None:
    async def story() -> None:
        for gone in (False, True, False):
            database.gone = gone
            if gone:
                with pytest.raises(DatabaseUnavailable, match="doesn't answer"):
                    await asked_health.stats()
            else:
                assert await asked_health.stats() == STATS

    asyncio.run(story())
