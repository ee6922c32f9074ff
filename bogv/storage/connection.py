"""The interface to pymilvus: a connection to Milvus, with its errors translated into bogv's.

The modules `lite` and `server` implement the differences between Milvus Lite and a server. Apart
from `schema`, no other module imports pymilvus; both import it where they use it (see there).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import grpc

from bogv.errors import DatabaseUnavailable

T = TypeVar("T")
R = TypeVar("R")

LOAD_SECONDS = 120.0
BUILD_SECONDS = 3600.0
"""Time-out of building an index over all rows."""


class Connection(ABC):
    """A client of Milvus Lite or of a server. Thread-safe.

    Every method raises DatabaseUnavailable if Milvus doesn't answer or rejects the call.
    """

    lock: AbstractContextManager[Any] = nullcontext()
    """Held during each call; a caller may hold it for several."""
    is_exclusive = False
    """Whether no other process can write to the database."""

    def __init__(
        self, uri: str, database: str, timeout: float, options: dict[str, Any], **login: str
    ) -> None:
        """database: its name in messages. timeout: of a call, seconds. options: gRPC's, of the
        channel."""
        self.uri = uri
        self.database = database
        self._timeout = timeout
        from pymilvus import MilvusClient, MilvusException

        _quieten()
        try:
            self.client: Any = MilvusClient(uri, timeout=timeout, grpc_options=options, **login)
        except (MilvusException, grpc.RpcError, OSError) as error:
            raise DatabaseUnavailable(
                f"{database} can't be opened (check the address and the login): {error}."
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

        consistency: with Session, this process sees its own writes; with Strong, all processes'.
        timeout: seconds; None: the connection's.
        """
        from pymilvus import MilvusException

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
        """Close the connection. No write is pending, because writes are synchronous."""
        with self.lock:
            self.client.close()

    def find_collection(self, alias: str) -> str | None:
        """The name of the collection that an alias refers to; None if there is no such alias."""
        if not self.call(self.client.has_collection, alias):
            return None
        return str(self.call(self.client.describe_collection, alias)["collection_name"])

    def load(self, collection: str) -> None:
        """Load a collection, which Milvus requires before searches."""
        self.call(self.client.load_collection, collection, timeout=LOAD_SECONDS)

    @abstractmethod
    def flush_after_write(self, collection: str) -> None:
        """Flush the rows just written, if Milvus doesn't do so by itself."""

    @abstractmethod
    def wait_for_index(self, collection: str) -> None:
        """Wait until the index of a flushed collection covers all rows and is in use."""

    @abstractmethod
    def batch_searches(self, search: Callable[[list[T]], Sequence[R]]) -> Callable[[T], R]:
        """Turn a search for several queries into one for a single query, which batches the queries
        of several threads if that is faster."""

    @abstractmethod
    def check_folder(self) -> None:
        """Raises StorageUnavailable if the database's folder was deleted or replaced."""


def is_unanswered(error: Exception) -> bool:
    """Whether the error means that Milvus didn't answer, as opposed to a rejection."""
    from pymilvus import MilvusException
    from pymilvus.client.types import Status

    if isinstance(error, MilvusException):
        return error.code == Status.CONNECT_FAILED or isinstance(error.code, grpc.StatusCode)
    return isinstance(error, grpc.RpcError)


def _quieten() -> None:
    """Every error is translated and raised. These would also log it, and Milvus Lite would log a
    traceback for each of pymilvus' calls that it doesn't implement.

    pymilvus sets its logger's level as it is imported.
    """
    for name in ("pymilvus", "grpc._server", "milvus_lite.server_manager"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
