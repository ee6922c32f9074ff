"""Maintenance of a gallery's index, for benchmarks; the service needs none."""

from __future__ import annotations

from bogv.storage.connection import BUILD_SECONDS
from bogv.storage.milvus import MilvusStore
from bogv.storage.schema import VECTOR_FIELD, index_params


def rebuild_index(store: MilvusStore) -> None:
    """Replace the index by one with `store.index`'s parameters, and wait until it is complete.

    Until then, the gallery can't be searched, and Milvus Lite blocks all other calls. Raises
    DatabaseUnavailable.
    """
    connection, client = store.connection, store.connection.client
    with connection.lock:
        # A server indexes flushed rows only.
        connection.call(client.flush, store.name, timeout=BUILD_SECONDS)
        connection.call(client.release_collection, store.name, timeout=BUILD_SECONDS)
        # In Milvus Lite, this waits for the thread that builds indexes.
        connection.call(client.drop_index, store.name, VECTOR_FIELD, timeout=BUILD_SECONDS)
        params = index_params(store.index)
        connection.call(client.create_index, store.name, params, timeout=BUILD_SECONDS)
        connection.call(client.load_collection, store.name, timeout=BUILD_SECONDS)


def wait_for_index(store: MilvusStore) -> None:
    """Wait until the index covers all rows and is in use; searches work meanwhile.

    Raises DatabaseUnavailable, on a server also after an hour.
    """
    connection = store.connection
    # A server indexes flushed rows only.
    connection.call(connection.client.flush, store.name, timeout=BUILD_SECONDS)
    connection.wait_for_index(store.name)
