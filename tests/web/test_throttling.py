"""Rate limits, and how fast tokens can be guessed: hours of both, on a fake clock."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest

from bogv.errors import TooManyRequests
from bogv.web import throttling
from bogv.web.access import AccessControl
from bogv.web.throttling import COOKIE, FORGET_AFTER, MAX_LOCKOUT, LoginThrottle, RateLimit
from tests.support.fakes import FakeClock

HOUR = 3600


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# The rate


@pytest.mark.parametrize(("rate", "count", "seconds"), [("60/minute", 60, 1), ("7/day", 7, 12343)])
def test_so_many_come_at_once_and_then_one_whenever_its_share_has_passed(
    clock: FakeClock, rate: str, count: int, seconds: int
) -> None:
    limit = RateLimit(rate, clock)
    assert [limit.take("a") for _ in range(count)] == [0.0] * count
    for _ in range(3):
        assert 0 < limit.take("a") <= seconds
        clock.now += seconds
        assert limit.take("a") == 0


def test_who_waits_as_long_as_told_comes_in(clock: FakeClock) -> None:
    limit = RateLimit("3/minute", clock)
    for _ in range(20):
        wait = limit.take("a")
        clock.now += wait
        assert not wait or limit.take("a") == 0


def test_a_refused_request_does_not_count(clock: FakeClock) -> None:
    limit = RateLimit("1/minute", clock)
    assert limit.take("a") == 0
    assert [limit.take("a") for _ in range(100)] == [pytest.approx(60)] * 100


def test_each_client_has_a_rate_of_its_own(clock: FakeClock) -> None:
    limit = RateLimit("1/hour", clock)
    assert [limit.take(client) for client in "aabb"] == [0.0, 3600.0] * 2


def test_no_more_clients_are_kept_in_mind_than_the_bound_and_the_oldest_goes(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "MAX_CLIENTS", 3)
    limit = RateLimit("1/day", clock)
    for client in "abacdab":  # c and d push out b, then c
        limit.take(client)
        assert len(limit._due) <= 3
    assert list(limit._due) == ["d", "a", "b"]
    assert limit.take("c") == 0


# Guessing tokens

RIGHT = b"right"


def tried(
    throttle: LoginThrottle,
    address: str,
    right: bool = False,
    device: str | None = None,
    token: bytes = b"",
) -> bool:
    """Whether a token was judged."""
    with suppress(TooManyRequests), throttle.begin_attempt(address, device, token) as attempt:
        attempt.succeeded = right or token == RIGHT
        return True
    return False


def test_pauses_begin_after_the_fifth_failure_and_double_up_to_the_longest(
    clock: FakeClock,
) -> None:
    throttle, seen = LoginThrottle(clock), []
    for _ in range(40):
        start = clock.now
        while not tried(throttle, "a"):
            clock.now += 1
        seen.append(clock.now - start)
    assert seen[:12] == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30]
    assert seen[-1] == MAX_LOCKOUT


@pytest.mark.parametrize("helped", [False, True])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_no_more_is_judged_at_an_address_than_is_told_whoever_succeeds_there(
    clock: FakeClock, helped: bool, times: int
) -> None:
    """Ten guesses a second for three hours, each given so often, and so many seconds apart;
    beside them, clients who have the token."""
    throttle = LoginThrottle(clock)
    device = throttle.issue_device_cookie()
    judged = [0, 0, 0]
    for half in range(3 * HOUR * 2):
        clock.now = 1000 + half / 2
        for n in range(5):
            # In seconds 0, 1 and 2, say, the same; then others.
            token = f"{half % 2} {half // 2 // times} {n}".encode()
            judged[half // 2 // HOUR] += tried(throttle, "nat", token=token)
        if helped:
            tried(throttle, "nat", token=RIGHT)
            tried(throttle, "elsewhere", token=RIGHT)
            assert tried(throttle, "nat", device=device, token=RIGHT)  # never held up
    most = 1 if times == 1 else 2
    assert judged[0] <= 129 * most
    assert judged[1] <= 120 * most
    assert judged[2] <= 120 * most
    assert sum(judged) >= 300 * most


def test_who_keeps_no_cookie_waits_a_second_for_a_neighbour_who_tries_each_token_once(
    clock: FakeClock,
) -> None:
    throttle = LoginThrottle(clock)
    assert tried(throttle, "nat", token=RIGHT)
    refused_at: list[float] = []
    for tick in range(HOUR):
        clock.now = 1000 + tick / 10
        for n in range(100):
            tried(throttle, "nat", token=f"{tick} {n}".encode())
        if not tried(throttle, "nat", token=RIGHT):
            refused_at.append(clock.now)
    assert refused_at
    assert refused_at[-1] - refused_at[0] < 1.2


def test_a_client_with_a_token_of_yesterday_does_not_shut_others_out(clock: FakeClock) -> None:
    """It asks and asks."""
    throttle = LoginThrottle(clock)
    refused = 0
    for tick in range(HOUR):
        clock.now = 1000 + tick
        for _ in range(5):
            tried(throttle, "nat", token=b"of yesterday")
        refused += not tried(throttle, "nat", token=RIGHT)
    assert refused <= 1


def test_from_many_addresses_no_more_is_judged_than_is_told_and_who_is_known_is_let_in(
    clock: FakeClock,
) -> None:
    throttle = LoginThrottle(clock)
    device = throttle.issue_device_cookie()
    assert tried(throttle, "known", right=True)
    addresses = (f"address {n}" for n in range(100_000))
    judged = [0, 0]
    for second in range(0, 2 * HOUR, 2):
        clock.now = 1000.0 + second
        for _ in range(20):
            judged[second // HOUR] += tried(throttle, next(addresses))
        assert tried(throttle, "known", right=True)
        assert tried(throttle, "new", right=True, device=device)
    assert 1900 < judged[0] <= 2000
    assert 900 < judged[1] <= 1000


def test_once_the_others_stop_a_right_token_waits_for_the_longest_pause_at_most(
    clock: FakeClock,
) -> None:
    chance = random.Random(1)
    for _ in range(20):
        throttle = LoginThrottle(clock)
        for _ in range(chance.randrange(500, 5000)):
            tried(throttle, "nat")
            clock.now += chance.random()
        clock.now += MAX_LOCKOUT
        assert tried(throttle, "nat", right=True)


def test_wrong_tokens_of_a_device_are_its_own(clock: FakeClock) -> None:
    throttle = LoginThrottle(clock)
    device, other = throttle.issue_device_cookie(), throttle.issue_device_cookie()
    assert [tried(throttle, "a", device=device) for _ in range(6)] == [True] * 5 + [False]
    assert not tried(throttle, "b", device=device)  # wherever it is
    assert tried(throttle, "a", device=other)
    assert tried(throttle, "a")


@pytest.mark.parametrize("made", ["", ".", "x", "x.y", "0123456789abcdef.", "é.é", None])
def test_a_device_cookie_that_was_not_given_out_is_none(clock: FakeClock, made: str | None) -> None:
    throttle = LoginThrottle(clock)
    for _ in range(5):
        assert tried(throttle, "a", device=made)
    assert not tried(throttle, "a", device=made)
    name, _, signature = throttle.issue_device_cookie().partition(".")
    for forged in (
        f"{name}x.{signature}",
        f"{name}.{signature[:-1]}",
        LoginThrottle(clock).issue_device_cookie(),
    ):
        assert not tried(throttle, "a", device=forged)


def test_many_at_once_are_no_more_than_one_after_the_other(clock: FakeClock) -> None:
    throttle = LoginThrottle(clock)
    under_way = [throttle.begin_attempt("a") for _ in range(5)]
    with pytest.raises(TooManyRequests):
        throttle.begin_attempt("a")
    for attempt in under_way:
        attempt.__exit__(None, None, None)
    for pause in (1, 2, 4):
        assert not tried(throttle, "a")
        clock.now += pause
        assert tried(throttle, "a")


def test_right_ones_at_once_are_not_held_against_anybody(clock: FakeClock) -> None:
    throttle = LoginThrottle(clock)
    for n in range(3000):
        assert tried(throttle, "a", right=True)
        assert tried(throttle, f"{n}", right=True)
    assert tried(throttle, "b")


def test_time_forgets_failures(clock: FakeClock) -> None:
    throttle = LoginThrottle(clock)
    for _ in range(2):
        assert [tried(throttle, "a") for _ in range(6)] == [True] * 5 + [False]
        clock.now += FORGET_AFTER


def test_a_million_failures_overflow_nothing(clock: FakeClock) -> None:
    throttle = LoginThrottle(clock)
    tried(throttle, "a")
    throttle._failures["a"].count = 1_000_000
    assert tried(throttle, "a")
    clock.now += MAX_LOCKOUT
    assert tried(throttle, "a")


def test_what_is_kept_in_mind_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_CLIENTS", 3)
    throttle = LoginThrottle(clock)
    for n in range(100):
        tried(throttle, f"{n}", right=n % 2 == 0)
        tried(throttle, "a", device=throttle.issue_device_cookie())
    assert len(throttle._failures) == 3
    assert len(throttle._known) == 3
    monkeypatch.setattr(throttling, "MAX_TOKENS", 5)
    for n in range(100):
        tried(throttle, "x", token=f"{n}".encode())
    assert len(throttle._refused) == 5


def test_refused_requests_from_everywhere_have_no_failures_forgotten(clock: FakeClock) -> None:
    throttle = LoginThrottle(clock)
    assert tried(throttle, "nat", right=True)
    while any(tried(throttle, "nat") for _ in range(20)):
        pass
    judged = sum(tried(throttle, f"address {n}") for n in range(20_000))
    assert judged <= 1000
    assert not tried(throttle, "nat")


# At the door


def answered(access: AccessControl, **headers: str) -> str | None:
    """The cookie that comes with an answer to who has shown the token."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    start = {"type": "http.response.start", "status": 200, "headers": []}

    async def run() -> None:
        await access.remember_device(scope, send)(start)

    asyncio.run(run())
    return next((v.decode() for n, v in sent[0]["headers"] if n == b"set-cookie"), None)


def test_who_has_shown_the_token_is_given_a_cookie_once() -> None:
    access = AccessControl("t")
    cookie = answered(access)
    assert cookie is not None
    assert cookie.startswith(f"{COOKIE}=")
    assert "; HttpOnly" in cookie
    assert answered(access, cookie=cookie.partition(";")[0]) is None
    assert answered(access, cookie=f"{COOKIE}=forged.0") is not None
    assert answered(AccessControl()) is None


def test_with_the_cookie_alone_nobody_comes_in() -> None:
    access = AccessControl("t")
    cookie = str(answered(access)).partition(";")[0].encode()
    scope = {"client": ("192.0.2.1", 1), "headers": [(b"cookie", cookie)]}
    assert not access.authenticate(scope)
    assert not access.authenticate({**scope, "headers": [(b"cookie", cookie), (b"token", b"x")]})
