from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from bogv.errors import ForeignSite
from bogv.web.csrf import CsrfProtection, is_private_host, same_origin


def scope(method: str = "POST", **headers: str) -> dict[str, Any]:
    pairs = [(n.replace("_", "-").encode(), v.encode("latin-1")) for n, v in headers.items()]
    return {"type": "http", "method": method, "headers": pairs}


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:7000", "127.0.0.1:7000"),
        ("http://Images.Example:7000", "images.example:7000"),
        ("https://images.example", "images.example"),
        ("https://images.example", "images.example:443"),
        ("https://images.example", "images.example:80"),  # nginx behind what ends TLS
        ("http://images.example", "images.example:80"),
        ("https://images.example:443", "images.example"),
        ("http://images.example.:7000", "images.example:7000"),
        ("http://[::1]:7000", "[::1]:7000"),
        ("http://[0:0:0:0:0:0:0:1]:7000", "[::1]:7000"),
        ("https://[2001:DB8::1]", "[2001:db8:0::1]:443"),
        ("http://xn--bcher-kva.example", "XN--BCHER-KVA.example"),
    ],
)
def test_a_page_of_this_host_agrees(origin: str, host: str) -> None:
    assert same_origin(origin, host)


@pytest.mark.parametrize("host", ["images.example", "127.0.0.1:7000", "[::1]:7000", "", "null"])
@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "http://evil.example",
        "http://images.example:7001",
        "http://images.example.evil.example",
        "http://evil.example/images.example",
        "http://evil.example#images.example",
        "http://evil.example\\images.example",
        "http://images.example@evil.example",
        "http://evil.example images.example",
        "http://images.example, http://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:7000.evil.example",
        "http://[::1]",
        "http://[::1]:7000x",
        "http://",
        "images.example",
        "chrome-extension://images.example",
        "file://",
    ],
)
def test_any_other_origin_does_not(origin: str, host: str) -> None:
    assert not same_origin(origin, host)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:7000",
        "192.168.1.5",
        "[fe80::1]:7000",
        "localhost:7000",
        "bogv:7000",
        "LOCALHOST.",
        "a.localhost",
        "nas.local",
        "nas.home.arpa",
        "bogv.svc.cluster.local",
        "db.internal",
    ],
)
def test_names_that_nobody_outside_can_give_are_private(host: str) -> None:
    assert is_private_host(host)
    CsrfProtection().check(scope(host=host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:7000",
        "127.0.0.1.nip.io",
        "evil.example.",
        "local.evil",
        "evil.example:80:80",
        "a@localhost",
        "evil.example,localhost",
        "[evil.example]",
        "localhost/evil.example",
        "evil.example\\.local",
        "evil.example .local",
    ],
)
def test_any_other_name_must_be_named(host: str) -> None:
    assert not is_private_host(host)
    for method in ("GET", "POST", "OPTIONS"):
        with pytest.raises(ForeignSite):
            CsrfProtection(["images.example"]).check(scope(method, host=host))


def test_names_can_be_given_all_below_one_and_any() -> None:
    csrf = CsrfProtection(["images.example", "*.Lab.example."])
    for host in ("images.example:7000", "IMAGES.example.", "a.lab.example", "b.a.lab.example"):
        csrf.check(scope(host=host))
    for host in ("lab.example", "xlab.example", "a.images.example"):
        with pytest.raises(ForeignSite, match="BOGV_ALLOWED_HOSTS"):
            csrf.check(scope(host=host))
        CsrfProtection(None).check(scope(host=host))


def test_the_machines_own_name_is_one_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "Big.Machine.example")
    CsrfProtection().check(scope(host="big.machine.example:7000"))


def test_who_sends_no_origin_goes_on_as_before() -> None:
    for headers in ({}, {"host": "localhost"}, {"sec_fetch_site": "none"}):
        for method in ("GET", "POST", "PUT", "DELETE"):
            CsrfProtection().check(scope(method, **headers), check_reads=True)


def test_an_origin_must_be_this_host_whatever_is_asked_and_any_name_it_has() -> None:
    for csrf in (CsrfProtection(), CsrfProtection(None)):
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "X"):
            for origin in ("null", "http://evil.example", ""):
                with pytest.raises(ForeignSite):
                    csrf.check(scope(method, host="localhost", origin=origin))
                with pytest.raises(ForeignSite):
                    csrf.check(scope(method, origin=origin))
            csrf.check(scope(method, host="localhost", origin="http://localhost"))


def test_of_two_origins_both_must() -> None:
    asked = scope(host="localhost", origin="http://localhost")
    for at in (0, 2):
        asked["headers"].insert(at, (b"origin", b"http://evil.example"))
        with pytest.raises(ForeignSite):
            CsrfProtection().check(asked)
        del asked["headers"][at]


def test_a_name_that_is_refused_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    csrf = CsrfProtection()
    with caplog.at_level(logging.WARNING):
        for host in ("images.example", "evil.example\r\nx" * 1000):
            with pytest.raises(ForeignSite):
                csrf.check(scope(host=host))
    assert caplog.text.count("BOGV_ALLOWED_HOSTS") == 1
