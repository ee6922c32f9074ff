"""Rate limits, and how fast tokens can be guessed: hours of both, on a fake clock."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest

from bogv.errors import TooManyRequests
from bogv.web import throttling
from bogv.web.access import Door
from bogv.web.throttling import COOKIE, FORGET_AFTER, MAX_LOCKOUT, Guesses, RateLimit
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
    guesses: Guesses,
    address: str,
    right: bool = False,
    device: str | None = None,
    token: bytes = b"",
) -> bool:
    """Whether a token was judged."""
    with suppress(TooManyRequests), guesses.guess(address, device, token) as guess:
        guess.right = right or token == RIGHT
        return True
    return False


def test_pauses_begin_after_the_fifth_failure_and_double_up_to_the_longest(
    clock: FakeClock,
) -> None:
    guesses, seen = Guesses(clock), []
    for _ in range(40):
        start = clock.now
        while not tried(guesses, "a"):
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
    guesses = Guesses(clock)
    device = guesses.new_device()
    judged = [0, 0, 0]
    for half in range(3 * HOUR * 2):
        clock.now = 1000 + half / 2
        for n in range(5):
            # In seconds 0, 1 and 2, say, the same; then others.
            token = f"{half % 2} {half // 2 // times} {n}".encode()
            judged[half // 2 // HOUR] += tried(guesses, "nat", token=token)
        if helped:
            tried(guesses, "nat", token=RIGHT)
            tried(guesses, "elsewhere", token=RIGHT)
            assert tried(guesses, "nat", device=device, token=RIGHT)  # never held up
    most = 1 if times == 1 else 2
    assert judged[0] <= 129 * most
    assert judged[1] <= 120 * most
    assert judged[2] <= 120 * most
    assert sum(judged) >= 300 * most


def test_who_keeps_no_cookie_waits_a_second_for_a_neighbour_who_tries_each_token_once(
    clock: FakeClock,
) -> None:
    guesses = Guesses(clock)
    assert tried(guesses, "nat", token=RIGHT)
    refused_at: list[float] = []
    for tick in range(HOUR):
        clock.now = 1000 + tick / 10
        for n in range(100):
            tried(guesses, "nat", token=f"{tick} {n}".encode())
        if not tried(guesses, "nat", token=RIGHT):
            refused_at.append(clock.now)
    assert refused_at
    assert refused_at[-1] - refused_at[0] < 1.2


def test_a_client_with_a_token_of_yesterday_does_not_shut_others_out(clock: FakeClock) -> None:
    """It asks and asks."""
    guesses = Guesses(clock)
    refused = 0
    for tick in range(HOUR):
        clock.now = 1000 + tick
        for _ in range(5):
            tried(guesses, "nat", token=b"of yesterday")
        refused += not tried(guesses, "nat", token=RIGHT)
    assert refused <= 1


def test_from_many_addresses_no_more_is_judged_than_is_told_and_who_is_known_is_let_in(
    clock: FakeClock,
) -> None:
    guesses = Guesses(clock)
    device = guesses.new_device()
    assert tried(guesses, "known", right=True)
    addresses = (f"address {n}" for n in range(100_000))
    judged = [0, 0]
    for second in range(0, 2 * HOUR, 2):
        clock.now = 1000.0 + second
        for _ in range(20):
            judged[second // HOUR] += tried(guesses, next(addresses))
        assert tried(guesses, "known", right=True)
        assert tried(guesses, "new", right=True, device=device)
    assert 1900 < judged[0] <= 2000
    assert 900 < judged[1] <= 1000


def test_once_the_others_stop_a_right_token_waits_for_the_longest_pause_at_most(
    clock: FakeClock,
) -> None:
    chance = random.Random(1)
    for _ in range(20):
        guesses = Guesses(clock)
        for _ in range(chance.randrange(500, 5000)):
            tried(guesses, "nat")
            clock.now += chance.random()
        clock.now += MAX_LOCKOUT
        assert tried(guesses, "nat", right=True)


def test_wrong_tokens_of_a_device_are_its_own(clock: FakeClock) -> None:
    guesses = Guesses(clock)
    device, other = guesses.new_device(), guesses.new_device()
    assert [tried(guesses, "a", device=device) for _ in range(6)] == [True] * 5 + [False]
    assert not tried(guesses, "b", device=device)  # wherever it is
    assert tried(guesses, "a", device=other)
    assert tried(guesses, "a")


@pytest.mark.parametrize("made", ["", ".", "x", "x.y", "0123456789abcdef.", "é.é", None])
def test_a_device_cookie_that_was_not_given_out_is_none(clock: FakeClock, made: str | None) -> None:
    guesses = Guesses(clock)
    for _ in range(5):
        assert tried(guesses, "a", device=made)
    assert not tried(guesses, "a", device=made)
    name, _, signature = guesses.new_device().partition(".")
    for forged in (f"{name}x.{signature}", f"{name}.{signature[:-1]}", Guesses(clock).new_device()):
        assert not tried(guesses, "a", device=forged)


def test_many_at_once_are_no_more_than_one_after_the_other(clock: FakeClock) -> None:
    guesses = Guesses(clock)
    under_way = [guesses.guess("a") for _ in range(5)]
    with pytest.raises(TooManyRequests):
        guesses.guess("a")
    for guess in under_way:
        guess.__exit__(None, None, None)
    for pause in (1, 2, 4):
        assert not tried(guesses, "a")
        clock.now += pause
        assert tried(guesses, "a")


def test_right_ones_at_once_are_not_held_against_anybody(clock: FakeClock) -> None:
    guesses = Guesses(clock)
    for n in range(3000):
        assert tried(guesses, "a", right=True)
        assert tried(guesses, f"{n}", right=True)
    assert tried(guesses, "b")


def test_time_forgets_failures(clock: FakeClock) -> None:
    guesses = Guesses(clock)
    for _ in range(2):
        assert [tried(guesses, "a") for _ in range(6)] == [True] * 5 + [False]
        clock.now += FORGET_AFTER


def test_a_million_failures_overflow_nothing(clock: FakeClock) -> None:
    guesses = Guesses(clock)
    tried(guesses, "a")
    guesses._failures["a"].count = 1_000_000
    assert tried(guesses, "a")
    clock.now += MAX_LOCKOUT
    assert tried(guesses, "a")


def test_what_is_kept_in_mind_is_bounded(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_CLIENTS", 3)
    guesses = Guesses(clock)
    for n in range(100):
        tried(guesses, f"{n}", right=n % 2 == 0)
        tried(guesses, "a", device=guesses.new_device())
    assert len(guesses._failures) == 3
    assert len(guesses._known) == 3
    monkeypatch.setattr(throttling, "MAX_TOKENS", 5)
    for n in range(100):
        tried(guesses, "x", token=f"{n}".encode())
    assert len(guesses._refused) == 5


def test_refused_requests_from_everywhere_have_no_failures_forgotten(clock: FakeClock) -> None:
    guesses = Guesses(clock)
    assert tried(guesses, "nat", right=True)
    while any(tried(guesses, "nat") for _ in range(20)):
        pass
    judged = sum(tried(guesses, f"address {n}") for n in range(20_000))
    assert judged <= 1000
    assert not tried(guesses, "nat")


# At the door


def answered(door: Door, **headers: str) -> str | None:
    """The cookie that comes with an answer to who has shown the token."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    start = {"type": "http.response.start", "status": 200, "headers": []}

    async def run() -> None:
        await door.remembering(scope, send)(start)

    asyncio.run(run())
    return next((v.decode() for n, v in sent[0]["headers"] if n == b"set-cookie"), None)


def test_who_has_shown_the_token_is_given_a_cookie_once() -> None:
    door = Door("t")
    cookie = answered(door)
    assert cookie is not None
    assert cookie.startswith(f"{COOKIE}=")
    assert "; HttpOnly" in cookie
    assert answered(door, cookie=cookie.partition(";")[0]) is None
    assert answered(door, cookie=f"{COOKIE}=forged.0") is not None
    assert answered(Door()) is None


def test_with_the_cookie_alone_nobody_comes_in() -> None:
    door = Door("t")
    cookie = str(answered(door)).partition(";")[0].encode()
    scope = {"client": ("192.0.2.1", 1), "headers": [(b"cookie", cookie)]}
    assert not door.opens_to(scope)
    assert not door.opens_to({**scope, "headers": [(b"cookie", cookie), (b"token", b"x")]})
