"""The connection to Milvus Lite, an embedded database in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bogv.batching import Batcher
from bogv.errors import DatabaseUnavailable, GalleryInUse, StorageUnavailable
from bogv.storage import lite_folder
from bogv.storage.connection import BUILD_SECONDS, Connection

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT = 30.0  # s
MAX_SEARCHES = 16  # vectors per call
_NEVER = 2**31 - 1  # ms


class LiteConnection(Connection):
    """Milvus Lite in a folder, which only one process at a time can open."""

    is_exclusive = True

    def __init__(self, folder: Path, timeout: float | None = None) -> None:
        """timeout: of a call, seconds. Raises GalleryInUse if another process has it open."""
        self.folder = folder
        # Milvus Lite loses rows with concurrent writers, and isn't faster with several threads.
        self.lock = threading.RLock()
        if not lite_folder.is_locked(folder):
            lite_folder.check(folder)
        # Milvus Lite's gRPC server rejects pymilvus' keep-alive pings (one every ten seconds while
        # idle or during a long call) as too many, and closes the connection. Within one process
        # they aren't needed.
        options = {"grpc.keepalive_time_ms": _NEVER}
        try:
            super().__init__(str(folder), "Milvus Lite", timeout or TIMEOUT, options)
        except DatabaseUnavailable as error:
            if not lite_folder.is_locked(folder):
                raise
            raise GalleryInUse(
                f"Another process has the gallery in {folder} open; Milvus Lite allows only one."
                " Stop it, set another BOGV_DATA_DIR, or use a Milvus server (MILVUS_HOST)."
            ) from error
        self._identity = lite_folder.identity(folder)

    def find_collection(self, alias: str) -> str | None:
        """As `Connection.find_collection`; the error explains how to repair a damaged folder."""
        try:
            return super().find_collection(alias)
        except DatabaseUnavailable as error:
            raise DatabaseUnavailable(
                f"{error} If {self.folder} is damaged: {lite_folder.REMEDY}"
            ) from error

    def load(self, collection: str) -> None:
        """As `Connection.load`; damaged indexes are rebuilt."""
        try:
            super().load(collection)
        except DatabaseUnavailable:
            if not lite_folder.remove_damaged_indexes(self.folder):
                raise
            self.call(self.client.load_collection, collection, timeout=BUILD_SECONDS)

    def flush_after_write(self, collection: str) -> None:
        """Flush, because Milvus Lite searches unflushed rows without the index, one by one."""
        self.call(self.client.flush, collection)

    def wait_for_index(self, collection: str) -> None:
        """Wait for the background thread: Milvus Lite reports an index as finished too early."""
        description = self.call(self.client.describe_collection, collection)
        _local_collection(self.uri, description["collection_name"])._wait_for_bg()

    def batch_searches(self, search: Callable[[list[T]], Sequence[R]]) -> Callable[[T], R]:
        """Batch the searches that arrive during a call into the next one: Milvus Lite runs one call
        at a time, and reads every row's id once per call, not once per vector."""
        return Batcher(search, MAX_SEARCHES)

    def check_folder(self) -> None:
        """Raises StorageUnavailable if the folder is not the one that was opened: Milvus Lite
        continues with the rows in memory, and later writes are lost."""
        if lite_folder.identity(self.folder) != self._identity:
            raise StorageUnavailable(
                "The data folder was deleted or replaced while bogv was running: restore it, or"
                " restart bogv; images added until then are lost."
            )


def _local_collection(uri: str, name: str) -> Any:
    """The collection object of Milvus Lite's server in this process."""
    from milvus_lite.server_manager import server_manager_instance

    _, database, _ = server_manager_instance._servers[uri]
    return database.get_collection(name)
