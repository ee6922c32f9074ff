"""Access control, by itself and before the API: sites, tokens, and the rate limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.config import Settings
from bogv.errors import TooManyRequests
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.access import AccessControl, client_of
from bogv.web.api import create_api
from tests.support.fakes import FakeClock, lite_search, png


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


# The door


def test_a_door_without_a_token_is_open(clock: FakeClock) -> None:
    assert AccessControl(clock=clock).authenticate(scope())
    assert AccessControl(clock=clock).authenticate(scope(token=b"any"))


def test_wrong_tokens_shut_the_door_to_their_client_and_to_nobody_else(clock: FakeClock) -> None:
    access = AccessControl("令牌", clock=clock)
    right = "令牌".encode()
    for _ in range(5):
        assert not access.authenticate(scope(token=b"wrong"))
    with pytest.raises(TooManyRequests) as caught:
        access.authenticate(scope(token=right))  # or guesses would go on as fast as before
    assert math.ceil(caught.value.seconds) == 1
    assert access.authenticate(scope("192.0.2.2", right))
    clock.now += 1
    assert access.authenticate(scope(token=right))
    assert not access.authenticate(scope(token=b"wrong"))
    with pytest.raises(TooManyRequests) as caught:  # the right one took back none of the wrong ones
        access.authenticate(scope(token=b"wrong"))
    assert math.ceil(caught.value.seconds) == 2
    assert access.authenticate(scope(token=right))  # it was refused before, and comes again


def test_a_request_without_a_token_is_no_guess(clock: FakeClock) -> None:
    access = AccessControl("t", clock=clock)
    assert not any(access.authenticate(scope(token=token)) for token in (None, b"") * 50)
    assert access.authenticate(scope(token=b"t"))


def test_asking_again_about_a_request_that_was_let_in_is_no_second_try(clock: FakeClock) -> None:
    access = AccessControl("t", clock=clock)
    assert not any(access.has_token(scope(token=b"x")) for _ in range(50))
    assert access.authenticate(scope(token=b"t"))
    assert access.has_token(scope(token=b"t"))


# Before the API

SIM = "/api/image/sim"
MAX_UPLOAD = 100_000  # bytes


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("access"), MAX_UPLOAD)
    yield service
    service.close()


@pytest.fixture
def client_with(search: ImageSearch, tmp_path: Path) -> Callable[..., TestClient]:
    def client(access: AccessControl | None = None, **settings: Any) -> TestClient:
        chosen = Settings(max_upload_mb=MAX_UPLOAD / 1024 / 1024, **settings)
        app = FastAPI()
        app.mount("/api", create_api(chosen, search, Sources([tmp_path], MAX_UPLOAD), access))
        return TestClient(app)

    return client


def fails(response: Any, status: int, name: str) -> None:
    """What the envelope of a failure is, test_api.py asks."""
    body = response.json()
    assert (response.status_code, body["code"], body["error"]["type"]) == (status, 500, name), body


def test_wrong_tokens_are_slowed_down_for_their_client_alone(
    client_with: Callable[..., TestClient],
) -> None:
    clock = FakeClock()
    client = client_with(AccessControl("right", clock=clock))

    def ask(token: str) -> Any:
        return client.post(f"{SIM}/del/key", json={"key": "nobody"}, headers={"token": token})

    for _ in range(5):
        fails(ask("wrong"), 401, "unauthorized")
    for token in ("wrong", "right"):
        refused = ask(token)
        fails(refused, 429, "too-many-requests")
        assert refused.headers["Retry-After"] == "1"
    # Health tells more to those who have the token: it is no place to try some, either.
    assert client.get("/api/health", headers={"token": "x"}).status_code == 429
    assert client.get("/api/health").status_code == 200
    clock.now += 1
    fails(ask("right"), 404, "not-found")
    fails(ask("wrong"), 401, "unauthorized")


def test_guesses_at_health_count(client_with: Callable[..., TestClient]) -> None:
    client = client_with(AccessControl("right", clock=FakeClock()))
    answers = [client.get("/api/health", headers={"token": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]


def test_a_rate_may_be_set_and_health_and_the_docs_do_not_count(
    client_with: Callable[..., TestClient],
) -> None:
    clock = FakeClock()
    client = client_with(AccessControl(rate="2/minute", clock=clock))
    for _ in range(5):
        assert client.get("/api/health").status_code == 200
        assert client.get("/api/docs").status_code == 200
    for _ in range(2):
        fails(client.get("/api/nothing"), 404, "no-such-route")
    refused = client.post(f"{SIM}/search/file", files={"file": png(1)})
    fails(refused, 429, "too-many-requests")
    assert refused.headers["Retry-After"] == "30"
    clock.now += 30
    assert client.post(f"{SIM}/search/file", files={"file": png(1)}).status_code == 200


def test_a_client_that_reads_code_alone_is_told_to_wait_too(
    client_with: Callable[..., TestClient],
) -> None:
    client = client_with(AccessControl(rate="1/day", clock=FakeClock()), http_status="200")
    client.get("/api/nothing")
    refused = client.get("/api/nothing")
    fails(refused, 200, "too-many-requests")
    assert refused.headers["Retry-After"] == "86400"


def test_a_page_of_another_site_sends_no_form(
    client_with: Callable[..., TestClient], search: ImageSearch
) -> None:
    """Its visitor's browser would, without asking; on plain http, without Sec-Fetch-Site."""
    client = client_with()

    def add(**headers: str) -> Any:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post(f"{SIM}/add/file", files={"file": png(7)}, headers=names)

    for foreign in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver:8080", "Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil.example", "Host": "evil.example"},  # a name made to lead here
        {"Host": "evil.example"},
    ):
        fails(add(**foreign), 403, "foreign-site")
    assert search.stats().count == 0
    assert client.get("/api/health", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200
    assert client.get("/api/health", headers={"Host": "172.18.0.5:7000"}).status_code == 200
    fails(client.get("/api/health", headers={"Host": "evil.example"}), 403, "foreign-site")
    fails(client.get("/api/metrics", headers={"Host": "evil.example"}), 403, "foreign-site")
    assert add().status_code == 200
    assert add(Origin="http://testserver", Sec_Fetch_Site="same-origin").status_code == 200
    search.delete_ids([record.id for record in search.page().records])


def test_with_a_token_any_name_will_do_unless_some_are_named(
    client_with: Callable[..., TestClient],
) -> None:
    def ask(client: TestClient, host: str) -> int:
        headers = {"Host": host, "token": "t", "Origin": f"https://{host}"}
        return client.post(f"{SIM}/del/key", json={"key": "x"}, headers=headers).status_code

    assert ask(client_with(token="t"), "images.example") == 404
    named = client_with(token="t", allowed_hosts="images.example")
    assert [ask(named, host) for host in ("images.example", "evil.example")] == [404, 403]
    open_to_all = client_with(allowed_hosts="*")
    assert ask(open_to_all, "images.example") == 404


def test_a_right_token_does_not_wait_for_what_a_neighbour_has_tried(
    client_with: Callable[..., TestClient],
) -> None:
    access = AccessControl("right", clock=FakeClock())
    client, neighbour = client_with(access), client_with(access)

    def ask(asked: TestClient, token: str) -> int:
        body = {"key": "nobody"}
        return asked.post(f"{SIM}/del/key", json=body, headers={"token": token}).status_code

    assert ask(client, "right") == 404
    assert [ask(neighbour, "wrong") for _ in range(6)] == [401] * 5 + [429]
    for _ in range(20):
        assert ask(client, "right") == 404  # remembered, by its cookie
        assert ask(neighbour, "wrong") == 429  # and that gives the other nothing
    assert ask(neighbour, "right") == 429
