"""The connection to a Milvus server or cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from bogv.errors import DatabaseUnavailable
from bogv.redaction import split_login
from bogv.storage.circuit_breaker import CircuitBreaker, CircuitOpen
from bogv.storage.connection import BUILD_SECONDS, Connection, is_unanswered

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT = 10.0  # s
LOADING_WAITS = (0.2, 0.5, 1.0, 2.0)  # s, between attempts
SWITCH_SECONDS = 10.0  # until searches use a new index; Milvus 2.3.5 took less than 3
POLL_SECONDS = 0.1


class ServerConnection(Connection):
    """A Milvus server, which several processes may use at the same time."""

    def __init__(self, uri: str, timeout: float | None = None, **login: str) -> None:
        """timeout: of a call, seconds. login: `user`, `password`, `token`."""
        # In pymilvus, calls reconnect one after the other, each with a time-out of its own: without
        # a circuit breaker, forty threads would wait for forty time-outs.
        self._breaker = CircuitBreaker(is_unanswered)
        # gRPC's default backoff is up to two minutes after a long outage.
        options = {"grpc.max_reconnect_backoff_ms": 2_000}
        super().__init__(uri, f"Milvus server {uri}", timeout or TIMEOUT, options, **login)

    @classmethod
    def at(cls, host: str, port: int, **login: str) -> ServerConnection:
        """Connect to a server. host: a host name, or a URI (`https://…`), which may have a login.

        login: `user`, `password`, `token`; empty ones are ignored. It overrides the URI's login.
        """
        try:
            uri, *uri_login = split_login(host if "://" in host else f"http://{host}:{port}")
        except ValueError as error:
            raise DatabaseUnavailable(
                f"MILVUS_HOST is invalid ({error}): in its login, write @ : / ? # % as"
                " %40 %3A %2F %3F %23 %25, or use MILVUS_USER and MILVUS_PASSWORD."
            ) from error
        if not any(login.values()):
            user, password = uri_login
            login = {"user": user, "password": password} if password else {"token": user}
        return cls(uri, None, **login)

    def call(self, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """As `Connection.call`, through the circuit breaker.

        Retries while the server loads the collection, which takes some seconds after its restart.
        """
        for wait in LOADING_WAITS:
            try:
                return self._call_once(method, *args, **kwargs)
            except DatabaseUnavailable as error:
                if "not loaded" not in str(error):
                    raise
            log.info("%s is loading the gallery; retrying in %.1f s", self.database, wait)
            time.sleep(wait)
        return self._call_once(method, *args, **kwargs)

    def _call_once(self, method: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            return super().call(partial(self._breaker.call, method), *args, **kwargs)
        except CircuitOpen:
            raise DatabaseUnavailable(f"{self.database} doesn't answer.") from None

    def flush_after_write(self, collection: str) -> None:
        """Do nothing: a server flushes by itself."""

    def wait_for_index(self, collection: str) -> None:
        """Poll until all rows are indexed and loaded. Raises DatabaseUnavailable after an hour."""
        end = time.monotonic() + BUILD_SECONDS
        while time.monotonic() < end:
            if self._is_indexed(collection):
                # Searches use the loaded index only some seconds later; no call reports it.
                time.sleep(SWITCH_SECONDS)
                return
            time.sleep(POLL_SECONDS)
        raise DatabaseUnavailable(
            f"{self.database} has not indexed the gallery {collection!r} in"
            f" {BUILD_SECONDS / 60:.0f} minutes."
        )

    def _is_indexed(self, collection: str) -> bool:
        index = self.call(self.client.describe_index, collection, "embedding")
        if index["state"] != "Finished" or index["pending_index_rows"]:
            return False
        segments = self.call(self.client.list_loaded_segments, collection)
        return bool(sum(segment.num_rows for segment in segments) >= index["total_rows"])

    def batch_searches(self, search: Callable[[list[T]], Sequence[R]]) -> Callable[[T], R]:
        """Call `search` for each query: a server runs calls in parallel."""
        return lambda query: search([query])[0]

    def check_folder(self) -> None:
        """Do nothing: bogv can't access a server's files."""
