"""A circuit breaker: calls to a service that has stopped answering fail at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

THRESHOLD = 3  # failures in a row


class CircuitOpen(Exception):
    """The call was not made: the service doesn't answer."""


class CircuitBreaker:
    """Closed, it lets all calls pass; after THRESHOLD failures in a row it is half-open.

    Half-open, one call at a time passes as a probe, and the rest raise CircuitOpen. The first
    probe that is no failure closes it again. There is no open state in which nothing passes, so a
    service that is back is used at once. Safe in threads.

    is_failure: whether an exception means that there was no answer; a refusal is an answer.
    """

    def __init__(self, is_failure: Callable[[Exception], bool]) -> None:
        self._is_failure = is_failure
        self._failures = 0  # in a row
        self._probing = threading.Lock()

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The function's result. Raises CircuitOpen, or what the function raises."""
        if self._failures < THRESHOLD:
            return self._counted(function, *args, **kwargs)
        if not self._probing.acquire(blocking=False):
            raise CircuitOpen
        try:
            return self._counted(function, *args, **kwargs)
        finally:
            self._probing.release()

    def _counted(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            self._failures = self._failures + 1 if self._is_failure(error) else 0
            raise
        self._failures = 0
        return result
