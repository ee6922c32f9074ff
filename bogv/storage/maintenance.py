"""Maintenance of a gallery's index. For measurements: the service does none."""

from __future__ import annotations

from bogv.storage.connection import BUILD_SECONDS
from bogv.storage.milvus import MilvusStore
from bogv.storage.schema import VECTOR_FIELD, index_params


def rebuild_index(store: MilvusStore) -> None:
    """Replace the index by the store's own, over all rows; return when it is complete.

    Until then the gallery can't be searched, and Milvus Lite does nothing else. Milvus builds
    indexes in the background, and Lite doesn't tell when one is complete. Raises
    DatabaseUnavailable.
    """
    connection, client = store.connection, store.connection.client
    with connection.lock:
        # A server indexes flushed rows alone.
        connection.call(client.flush, store.name, timeout=BUILD_SECONDS)
        connection.call(client.release_collection, store.name, timeout=BUILD_SECONDS)
        # Milvus Lite's waits for the background thread.
        connection.call(client.drop_index, store.name, VECTOR_FIELD, timeout=BUILD_SECONDS)
        params = index_params(store.index)
        connection.call(client.create_index, store.name, params, timeout=BUILD_SECONDS)
        connection.call(client.load_collection, store.name, timeout=BUILD_SECONDS)


def wait_for_index(store: MilvusStore) -> None:
    """Return when the index covers all rows and is in use; searches go on meanwhile.

    Raises DatabaseUnavailable, on a server also when that takes more than an hour.
    """
    connection = store.connection
    # A server indexes flushed rows alone.
    connection.call(connection.client.flush, store.name, timeout=BUILD_SECONDS)
    connection.wait_for_index(store.name)
