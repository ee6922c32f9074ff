"""Errors of pymilvus are translated where they enter, with what pymilvus said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymilvus import MilvusException
from pymilvus.client.types import Status

from bogv.errors import DatabaseUnavailable
from bogv.storage.connection import is_unanswered
from bogv.storage.lite import LiteConnection


class RpcError(grpc.RpcError):  # type: ignore[misc]
    """gRPC's own, as pymilvus lets it through."""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[LiteConnection]:
    opened = LiteConnection(tmp_path / "milvus.db")
    yield opened
    opened.close()


@pytest.mark.parametrize("error", [MilvusException(message="out of luck"), RpcError("out of luck")])
def test_an_error_is_translated_with_its_cause(
    connection: LiteConnection, error: Exception
) -> None:
    def fail(**_: Any) -> None:
        raise error

    with pytest.raises(DatabaseUnavailable, match=r"^Milvus Lite failed: .*out of luck") as caught:
        connection.call(fail)
    assert caught.value.__cause__ is error


def test_a_bug_in_bogv_is_not_reported_as_a_database_error(connection: LiteConnection) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        connection.call(fail)


def test_a_calls_time_out_overrides_the_connections(
    connection: LiteConnection,
) -> None:
    def echo(*args: Any, **options: Any) -> tuple[Any, ...]:
        return args, options

    default = {"timeout": 30.0, "consistency_level": "Session"}
    assert connection.call(echo, 1, limit=2) == ((1,), {"limit": 2, **default})
    assert connection.call(echo, timeout=5.0, consistency="Strong") == (
        (),
        {"timeout": 5.0, "consistency_level": "Strong"},
    )


def test_an_unknown_alias_has_no_collection(
    connection: LiteConnection,
) -> None:
    assert connection.find_collection("nobody") is None


@pytest.mark.parametrize(
    ("error", "unanswered"),
    [
        (MilvusException(Status.CONNECT_FAILED, "Fail connecting to server"), True),
        (MilvusException(grpc.StatusCode.DEADLINE_EXCEEDED, "deadline exceeded"), True),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "connection refused"), True),
        (RpcError(), True),
        (MilvusException(1100, "invalid parameter"), False),
        (MilvusException(message="collection not loaded"), False),
        (ValueError(), False),
    ],
)
def test_a_missing_answer_is_distinguished_from_a_rejection(
    error: Exception, unanswered: bool
) -> None:
    assert is_unanswered(error) is unanswered
