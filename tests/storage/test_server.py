"""The connection to a server: the address, the calls that are repeated, waiting for the index."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from pymilvus import MilvusException

from bogv.errors import DatabaseUnavailable
from bogv.storage import server
from bogv.storage.circuit_breaker import THRESHOLD
from bogv.storage.server import LOADING_WAITS, ServerConnection

LOADING = MilvusException(message="collection not loaded")


class Client:
    """Stands for pymilvus': connects to nothing, and knows one index."""

    def __init__(self, uri: str, **options: Any) -> None:
        self.uri, self.options = uri, options
        self.pending, self.loaded = [0], [5]

    def describe_index(self, *_: Any, **__: Any) -> dict[str, Any]:
        pending = self.pending.pop(0) if len(self.pending) > 1 else self.pending[0]
        state = "InProgress" if pending is None else "Finished"
        return {"state": state, "pending_index_rows": pending, "total_rows": 5}

    def list_loaded_segments(self, *_: Any, **__: Any) -> list[Any]:
        loaded = self.loaded.pop(0) if len(self.loaded) > 1 else self.loaded[0]
        return [SimpleNamespace(num_rows=loaded)]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have slept; the clock moves by as much."""
    seconds: list[float] = []
    clock = SimpleNamespace(sleep=seconds.append, monotonic=lambda: sum(seconds))
    monkeypatch.setattr(server, "time", clock)
    return seconds


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> ServerConnection:
    monkeypatch.setattr("pymilvus.MilvusClient", Client)
    return ServerConnection.at("db", 1)


def failing(*errors: Exception) -> Callable[..., str]:
    """A method that raises these, one a call, and then answers."""
    left = list(errors)

    def method(**_: Any) -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return method


def test_the_address_is_a_host_and_port_or_a_uri(connection: ServerConnection) -> None:
    assert (connection.uri, connection.database) == ("http://db:1", "Milvus server http://db:1")
    assert ServerConnection.at("https://db:2/name", 1).uri == "https://db:2/name"
    assert connection.client.options["timeout"] == 10.0


def test_a_call_is_retried_while_the_server_loads_the_gallery(
    connection: ServerConnection, slept: list[float]
) -> None:
    assert connection.call(failing(LOADING, LOADING)) == "answer"
    assert slept == list(LOADING_WAITS[:2])


def test_a_server_that_never_loads_the_gallery_is_an_error(
    connection: ServerConnection, slept: list[float]
) -> None:
    with pytest.raises(DatabaseUnavailable, match="not loaded"):
        connection.call(failing(*[LOADING] * 5))
    assert slept == list(LOADING_WAITS)


def test_other_rejections_are_not_retried(connection: ServerConnection, slept: list[float]) -> None:
    method = failing(MilvusException(message="no"), LOADING)
    with pytest.raises(DatabaseUnavailable, match="no"):
        connection.call(method)
    assert slept == []


def test_a_call_blocked_by_the_circuit_breaker_says_that_the_server_does_not_answer(
    connection: ServerConnection,
) -> None:
    silence = MilvusException(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded")
    for _ in range(THRESHOLD):
        with pytest.raises(DatabaseUnavailable, match="deadline"):
            connection.call(failing(silence))

    def probe(**_: Any) -> str:
        with pytest.raises(DatabaseUnavailable, match=r"^Milvus server http://db:1 doesn't answer"):
            connection.call(failing())
        return "answer"

    assert connection.call(probe) == "answer"
    assert connection.call(failing()) == "answer"


def test_each_search_is_a_call_of_its_own(connection: ServerConnection) -> None:
    calls: list[list[int]] = []

    def search(queries: list[int]) -> list[int]:
        calls.append(queries)
        return [2 * query for query in queries]

    one = connection.batch_searches(search)
    assert [one(1), one(2)] == [2, 4]
    assert calls == [[1], [2]]


def test_an_index_is_waited_for_until_all_rows_are_indexed_and_loaded(
    connection: ServerConnection, slept: list[float]
) -> None:
    connection.client.pending = [None, 3, 0]
    connection.client.loaded = [2, 5]
    connection.wait_for_index("images")
    assert slept == [server.POLL_SECONDS] * 3 + [server.SWITCH_SECONDS]


def test_an_index_that_is_never_built_is_an_error(
    connection: ServerConnection, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BUILD_SECONDS", 60.0)
    connection.client.pending = [1]
    with pytest.raises(DatabaseUnavailable, match=r"not indexed the gallery 'images' in 1 minutes"):
        connection.wait_for_index("images")
    assert sum(slept) >= 60
