"""The circuit breaker opens after consecutive failures, and passes one probe at a time."""

from __future__ import annotations

import threading

import pytest

from bogv.storage.circuit_breaker import THRESHOLD, CircuitBreaker, CircuitOpen

TIMEOUT = 60  # s


class Silence(Exception):
    """No answer."""


class Refusal(Exception):
    """An error that counts as an answer."""


def fail(error: Exception) -> None:
    raise error


@pytest.fixture
def breaker() -> CircuitBreaker:
    return CircuitBreaker(lambda error: isinstance(error, Silence))


def trip(breaker: CircuitBreaker, failures: int = THRESHOLD) -> None:
    """Make this many calls fail."""
    for _ in range(failures):
        with pytest.raises(Silence):
            breaker.call(fail, Silence())


class Probe:
    """A call that runs until `end`."""

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._entered, self._may_end = threading.Event(), threading.Event()
        self.result: str | None = None
        self._breaker = breaker
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._entered.wait(TIMEOUT)

    def _run(self) -> None:
        self.result = self._breaker.call(self._wait)

    def _wait(self) -> str:
        self._entered.set()
        self._may_end.wait(TIMEOUT)
        return "answer"

    def end(self) -> None:
        self._may_end.set()
        self._thread.join()


def test_a_closed_breaker_passes_arguments_results_and_errors(breaker: CircuitBreaker) -> None:
    assert breaker.call(divmod, 7, 2) == (3, 1)
    assert breaker.call(int, "z", base=36) == 35
    with pytest.raises(Refusal):
        breaker.call(fail, Refusal())


def test_a_closed_breaker_allows_concurrent_calls(breaker: CircuitBreaker) -> None:
    trip(breaker, THRESHOLD - 1)
    probe = Probe(breaker)
    assert breaker.call(len, "ab") == 2
    probe.end()
    assert probe.result == "answer"


def test_a_half_open_breaker_lets_one_call_through_at_a_time(breaker: CircuitBreaker) -> None:
    trip(breaker)
    probe = Probe(breaker)
    called: list[int] = []
    with pytest.raises(CircuitOpen):
        breaker.call(called.append, 1)
    assert called == []
    probe.end()
    assert probe.result == "answer"
    first, second = Probe(breaker), Probe(breaker)  # closed again
    first.end()
    second.end()


def test_a_failed_probe_leaves_the_breaker_half_open(breaker: CircuitBreaker) -> None:
    trip(breaker, THRESHOLD + 2)
    probe = Probe(breaker)
    with pytest.raises(CircuitOpen):
        breaker.call(len, "ab")
    probe.end()


def test_a_rejection_is_an_answer_and_closes_the_breaker(breaker: CircuitBreaker) -> None:
    trip(breaker)
    with pytest.raises(Refusal):
        breaker.call(fail, Refusal())
    probe = Probe(breaker)
    assert breaker.call(len, "ab") == 2
    probe.end()


def test_only_consecutive_failures_count(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        trip(breaker, THRESHOLD - 1)
        breaker.call(len, "ab")
    probe = Probe(breaker)
    assert breaker.call(len, "ab") == 2
    probe.end()
