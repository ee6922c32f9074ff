"""The helper itself: the server answers, keeps its rows through a crash, and is shut in."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import grpc
import pytest
from pymilvus import MilvusClient, MilvusException

from tests.support.milvus_server import HEALTH_PORT, MILVUS_PORT, MilvusServer

pytestmark = pytest.mark.server

ROWS = 7


def connect(server: MilvusServer) -> MilvusClient:
    host, port = server.address
    return MilvusClient(f"http://{host}:{port}", timeout=20, dedicated=True)


def count(client: MilvusClient, collection: str, patience: float = 0) -> int:
    """Rows, with Strong consistency. For `patience` seconds "not loaded" is tried again."""
    give_up = time.monotonic() + patience
    while True:
        try:
            found = client.query(
                collection, output_fields=["count(*)"], consistency_level="Strong", timeout=20
            )
            return int(found[0]["count(*)"])
        except (MilvusException, grpc.RpcError):
            if time.monotonic() > give_up:
                raise
            time.sleep(0.5)


@pytest.fixture
def collection(milvus_server: MilvusServer) -> Iterator[str]:
    """A collection of ROWS rows, gone after the test."""
    name = "helper"
    client = connect(milvus_server)
    try:
        client.create_collection(name, dimension=4)
        rows = [{"id": row, "vector": [row, 1.0, 0.0, 0.5]} for row in range(ROWS)]
        client.insert(name, rows)
    finally:
        client.close()
    yield name
    client = connect(milvus_server)
    try:
        client.drop_collection(name)
    finally:
        client.close()


def test_the_server_answers_through_the_forwarder(
    milvus_server: MilvusServer, collection: str
) -> None:
    client = connect(milvus_server)
    try:
        assert count(client, collection) == ROWS
        assert client.search(collection, [[3.0, 1.0, 0.0, 0.5]], limit=1)[0][0]["id"] == 3
    finally:
        client.close()


def test_a_message_of_many_megabytes_passes_the_forwarder(milvus_server: MilvusServer) -> None:
    client = connect(milvus_server)
    try:
        client.create_collection("large", dimension=2048)
        rows = [{"id": row, "vector": [float(row)] * 2048} for row in range(500)]
        client.insert("large", rows)
        assert count(client, "large") == 500
        found = client.get("large", list(range(500)), consistency_level="Strong")
        assert {row["id"]: row["vector"][-1] for row in found} == {row: row for row in range(500)}
    finally:
        client.drop_collection("large")
        client.close()


def test_rows_survive_a_crash_and_the_address_stays(
    milvus_server: MilvusServer, collection: str
) -> None:
    address = milvus_server.address
    milvus_server.kill()
    with socket.socket() as probe:
        assert probe.connect_ex(address) != 0, "something still listens after kill()"

    milvus_server.start()

    assert milvus_server.address == address
    client = connect(milvus_server)
    try:
        assert count(client, collection, patience=60) == ROWS
    finally:
        client.close()


@pytest.mark.parametrize("port", [MILVUS_PORT, HEALTH_PORT])
def test_the_server_is_not_reachable_outside_its_namespace(
    milvus_server: MilvusServer, port: int
) -> None:
    assert milvus_server.address[0] == "127.0.0.1"
    assert milvus_server.address[1] != port
    with socket.socket() as probe:
        # If this fails: has another program taken the port on this machine?
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_second_start_is_an_error(milvus_server: MilvusServer) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        milvus_server.start()
