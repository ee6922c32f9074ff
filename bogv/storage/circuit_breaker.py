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
    """Passes all calls while closed; after THRESHOLD failures in a row it becomes half-open.

    Half-open, it passes one call at a time as a probe; the others raise CircuitOpen. The first
    successful probe closes it. There is no open state that blocks all calls, so a service that has
    recovered is used at once. Thread-safe.

    is_failure: whether an exception means that there was no answer; a rejection is an answer.
    """

    def __init__(self, is_failure: Callable[[Exception], bool]) -> None:
        self._is_failure = is_failure
        self._failures = 0  # in a row
        self._probing = threading.Lock()

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call the function and return its result. Raises CircuitOpen, or the function's error."""
        if self._failures < THRESHOLD:
            return self._call_counted(function, *args, **kwargs)
        if not self._probing.acquire(blocking=False):
            raise CircuitOpen
        try:
            return self._call_counted(function, *args, **kwargs)
        finally:
            self._probing.release()

    def _call_counted(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            self._failures = self._failures + 1 if self._is_failure(error) else 0
            raise
        self._failures = 0
        return result
