"""The connection to Milvus Lite: a database in a folder, run by the process that opens it."""

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
SEARCHES = 16  # vectors that one call searches
_NEVER = 2**31 - 1  # ms


class LiteConnection(Connection):
    """Milvus Lite in a folder, which one process at a time can open."""

    def __init__(self, folder: Path, timeout: float | None = None) -> None:
        """timeout: of a call, seconds. Raises GalleryInUse when another process has it open."""
        self.folder = folder
        # Milvus Lite loses rows under concurrent writers, and threads gain nothing on it.
        self.lock = threading.RLock()
        if not lite_folder.is_locked(folder):
            lite_folder.check(folder)
        # Milvus Lite takes pymilvus' keep-alive pings, one every ten seconds while it is idle or
        # busy with a long call, for an attack, and hangs up. In one process none are needed.
        options = {"grpc.keepalive_time_ms": _NEVER}
        try:
            super().__init__(str(folder), "Milvus Lite", timeout or TIMEOUT, options)
        except DatabaseUnavailable as error:
            if not lite_folder.is_locked(folder):
                raise
            raise GalleryInUse(
                f"Another process has the gallery in {folder} open; Milvus Lite serves one."
                " Stop it, use another BOGV_DATA_DIR, or run a Milvus server (MILVUS_HOST)."
            ) from error
        self._identity = lite_folder.identity(folder)

    def find_collection(self, alias: str) -> str | None:
        """As `Connection.find_collection`; the error says what to do about a damaged folder."""
        try:
            return super().find_collection(alias)
        except DatabaseUnavailable as error:
            raise DatabaseUnavailable(
                f"{error} If {self.folder} is damaged: {lite_folder.REMEDY}"
            ) from error

    def load(self, collection: str) -> None:
        """As `Connection.load`; damaged indexes are built again."""
        try:
            super().load(collection)
        except DatabaseUnavailable:
            if not lite_folder.remove_damaged_indexes(self.folder):
                raise
            self.call(self.client.load_collection, collection, timeout=BUILD_SECONDS)

    def flush_after_write(self, collection: str) -> None:
        """Flush: Milvus Lite searches rows that are not flushed one by one."""
        self.call(self.client.flush, collection)

    def wait_for_index(self, collection: str) -> None:
        """Wait for the background thread: pymilvus is told that an index is finished before."""
        description = self.call(self.client.describe_collection, collection)
        _local_collection(self.uri, description["collection_name"])._wait_for_bg()

    def batch_searches(self, search: Callable[[list[T]], Sequence[R]]) -> Callable[[T], R]:
        """Milvus Lite reads every row's id before it searches, for one vector as for several, and
        searches one call at a time: searches that come meanwhile share the next call."""
        return Batcher(search, SEARCHES)

    def check_folder(self) -> None:
        """Raises StorageUnavailable where the folder is not the one that was opened: Milvus Lite
        goes on with what it has in memory, and what it writes then is lost."""
        if lite_folder.identity(self.folder) != self._identity:
            raise StorageUnavailable(
                "The data folder was deleted or replaced while bogv runs: put it back as it was,"
                " or start bogv anew; what is added until then is lost."
            )


def _local_collection(uri: str, name: str) -> Any:
    """The collection object of the Milvus Lite that runs in this process."""
    from milvus_lite.server_manager import server_manager_instance

    _, database, _ = server_manager_instance._servers[uri]
    return database.get_collection(name)
