from __future__ import annotations

import math
from typing import Any

import pytest

from bogv.errors import TooManyRequests
from bogv.web import rates
from bogv.web.access import Door, client_of
from bogv.web.rates import RateLimit
from tests.support.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def scope(client: str = "192.0.2.1", token: bytes | None = None) -> dict[str, Any]:
    return {"client": (client, 50000), "headers": [] if token is None else [(b"token", token)]}


# Clients


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a proxy's nonsense" * 10, ("a proxy's nonsense" * 10)[:64]),
    ],
)
def test_a_client_is_an_address_and_of_ipv6_what_one_customer_has(
    address: str, client: str
) -> None:
    assert client_of(scope(address)) == client


def test_a_connection_without_an_address_is_a_client_too() -> None:
    assert client_of({"client": None}) == ""


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
        early = limit.take("a")
        clock.now += early
        assert not early or limit.take("a") == 0


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
    monkeypatch.setattr(rates, "CLIENTS", 3)
    limit = RateLimit("1/day", clock)
    for client in "abacdab":  # c and d push out b, then c
        limit.take(client)
        assert len(limit._due) <= 3
    assert list(limit._due) == ["d", "a", "b"]
    assert limit.take("c") == 0


# The door


def test_a_door_without_a_token_is_open(clock: FakeClock) -> None:
    assert Door(clock=clock).opens_to(scope())
    assert Door(clock=clock).opens_to(scope(token=b"any"))


def test_wrong_tokens_shut_the_door_to_their_client_and_to_nobody_else(clock: FakeClock) -> None:
    door = Door("令牌", clock=clock)
    right = "令牌".encode()
    for _ in range(5):
        assert not door.opens_to(scope(token=b"wrong"))
    with pytest.raises(TooManyRequests) as caught:
        door.opens_to(scope(token=right))  # or guesses would go on as fast as before
    assert math.ceil(caught.value.seconds) == 1
    assert door.opens_to(scope("192.0.2.2", right))
    clock.now += 1
    assert door.opens_to(scope(token=right))
    assert not door.opens_to(scope(token=b"wrong"))
    with pytest.raises(TooManyRequests) as caught:  # the right one took back none of the wrong ones
        door.opens_to(scope(token=b"wrong"))
    assert math.ceil(caught.value.seconds) == 2
    assert door.opens_to(scope(token=right))  # it was refused before, and comes again


def test_a_request_without_a_token_is_no_guess(clock: FakeClock) -> None:
    door = Door("t", clock=clock)
    assert not any(door.opens_to(scope(token=token)) for token in (None, b"") * 50)
    assert door.opens_to(scope(token=b"t"))


def test_asking_again_about_a_request_that_was_let_in_is_no_second_try(clock: FakeClock) -> None:
    door = Door("t", clock=clock)
    assert not any(door.has_token(scope(token=b"x")) for _ in range(50))
    assert door.opens_to(scope(token=b"t"))
    assert door.has_token(scope(token=b"t"))
