"""The boundary to pymilvus: a connection to Milvus, its errors translated into bogv's.

What differs between Milvus Lite and a server is in `lite` and `server`. Beside `schema`, no other
module imports pymilvus.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import grpc
from pymilvus import MilvusClient, MilvusException
from pymilvus.client.types import Status

from bogv.errors import DatabaseUnavailable

# Every error is translated and raised. These log it besides, Milvus Lite with a traceback for
# each call of pymilvus that it doesn't know.
for _name in ("pymilvus", "grpc._server", "milvus_lite.server_manager"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

T = TypeVar("T")
R = TypeVar("R")

LOAD_SECONDS = 120.0
BUILD_SECONDS = 3600.0
"""Time-out of building an index over all rows."""


class Connection(ABC):
    """A client of Milvus Lite or of a server. Safe in threads.

    Every method raises DatabaseUnavailable when Milvus doesn't answer or refuses.
    """

    lock: AbstractContextManager[Any] = nullcontext()
    """Held for each call; a caller may hold it for several."""

    def __init__(
        self, uri: str, database: str, timeout: float, options: dict[str, Any], **login: str
    ) -> None:
        """database: its name for people. timeout: of a call, seconds. options: of the channel, as
        gRPC calls them."""
        self.uri = uri
        self.database = database
        self._timeout = timeout
        try:
            self.client: Any = MilvusClient(uri, timeout=timeout, grpc_options=options, **login)
        except (MilvusException, grpc.RpcError, OSError) as error:
            raise DatabaseUnavailable(
                f"{database} can't be opened (is the address right, and the login?): {error}."
            ) from error

    def call(
        self,
        method: Callable[..., T],
        *args: Any,
        consistency: str = "Session",
        timeout: float | None = None,
        **kwargs: Any,
    ) -> T:
        """Call a method of the client.

        consistency: with Session, this process reads what it wrote; with Strong, what anyone did.
        timeout: seconds; None: the connection's.
        """
        try:
            with self.lock:
                return method(
                    *args,
                    timeout=timeout or self._timeout,
                    consistency_level=consistency,
                    **kwargs,
                )
        except (MilvusException, grpc.RpcError) as error:
            raise DatabaseUnavailable(f"{self.database} failed: {error}.") from error

    def close(self) -> None:
        """Close the connection. Nothing is left to be written: each write is, at once."""
        with self.lock:
            self.client.close()

    def find_collection(self, alias: str) -> str | None:
        """The name of the collection behind an alias; None where there is none."""
        if not self.call(self.client.has_collection, alias):
            return None
        return str(self.call(self.client.describe_collection, alias)["collection_name"])

    def load(self, collection: str) -> None:
        """Load a collection, so that it can be searched."""
        self.call(self.client.load_collection, collection, timeout=LOAD_SECONDS)

    @abstractmethod
    def flush_after_write(self, collection: str) -> None:
        """Flush what was just written, where Milvus does not do so by itself."""

    @abstractmethod
    def wait_for_index(self, collection: str) -> None:
        """Return when the index of a flushed collection covers all rows and is in use."""

    @abstractmethod
    def batch_searches(self, search: Callable[[list[T]], Sequence[R]]) -> Callable[[T], R]:
        """A search for one query, by a search for several: with those of other threads if that
        is faster."""

    @abstractmethod
    def check_folder(self) -> None:
        """Raises StorageUnavailable where the files of the database were taken away."""


def is_unanswered(error: Exception) -> bool:
    """Whether a call that raised this had no answer: no refusal either."""
    if isinstance(error, MilvusException):
        return error.code == Status.CONNECT_FAILED or isinstance(error.code, grpc.StatusCode)
    return isinstance(error, grpc.RpcError)
