"""Request ids and access log lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.concurrency import run_in_threadpool
from starlette.routing import Mount

from bogv.errors import NotAnImage
from bogv.logs import RequestFilter, RequestInfo
from bogv.web.access_log import HEADER, AccessLog
from bogv.web.envelope import Envelopes, InternalErrors, handle_errors

log = logging.getLogger(__name__)


def make_app(finished: list[RequestInfo]) -> FastAPI:
    """An app with a good route, a bad one and a broken one, each of which logs in a thread."""
    app = FastAPI()
    envelopes = Envelopes(always_200=False)
    handle_errors(app, envelopes)
    app.add_middleware(InternalErrors, envelopes=envelopes)
    app.add_middleware(AccessLog, on_end=finished.append)

    @app.get("/good/{name}")
    async def good(name: str) -> str:
        await run_in_threadpool(log.info, "in a thread")
        return name

    @app.get("/bad")
    def bad() -> None:
        log.info("in a thread")
        raise NotAnImage("The file is empty.")

    @app.get("/broken")
    def broken() -> None:
        log.info("in a thread")
        raise RuntimeError("secret")

    return app


@pytest.fixture
def finished() -> list[RequestInfo]:
    return []


@pytest.fixture
def client(finished: list[RequestInfo]) -> TestClient:
    return TestClient(make_app(finished))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged, each record with its request's id, as on the server's handler."""
    tag = RequestFilter()
    caplog.handler.addFilter(tag)
    with caplog.at_level("INFO"):
        yield caplog
    caplog.handler.removeFilter(tag)


def ids(caplog: pytest.LogCaptureFixture) -> set[str]:
    ours = [record for record in caplog.records if record.name.startswith(("bogv", __name__))]
    assert len(ours) >= 2
    return {record.__dict__["request_id"] for record in ours}


@pytest.mark.parametrize("path", ["/good/x", "/bad", "/broken"])
def test_every_line_of_a_request_has_the_id_that_its_answer_has(
    client: TestClient, lines: pytest.LogCaptureFixture, path: str
) -> None:
    answer = client.get(path)
    assert ids(lines) == {answer.headers[HEADER]}
    if path != "/good/x":
        assert answer.json()["error"]["request_id"] == answer.headers[HEADER]
        assert "secret" not in answer.text


@pytest.mark.parametrize("given", ["a", "4bf92f35-77b3.x_1", "x" * 64])
def test_a_sane_id_of_the_callers_is_kept(client: TestClient, given: str) -> None:
    assert client.get("/bad", headers={HEADER: given}).headers[HEADER] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", '"', "a;b", "é", "a/../b"])
def test_another_one_is_replaced(client: TestClient, given: str) -> None:
    made = client.get("/bad", headers={HEADER.encode(): given.encode()}).headers[HEADER]
    assert re.fullmatch("[0-9a-f]{16}", made)


def test_no_two_requests_have_the_same_id(client: TestClient) -> None:
    assert len({client.get("/bad").headers[HEADER] for _ in range(20)}) == 20


def test_a_request_is_one_line_with_its_route_and_not_its_path(
    client: TestClient, finished: list[RequestInfo], lines: pytest.LogCaptureFixture
) -> None:
    for path in ("/good/private?token=s3cret", "/bad", "/broken", "/nowhere"):
        client.get(path)
    told = [record.__dict__["fields"] for record in lines.records if record.name == "bogv.access"]
    assert [(each["method"], each["route"], each["status"], each["outcome"]) for each in told] == [
        ("GET", "/good/{name}", 200, "ok"),
        ("GET", "/bad", 415, "not-an-image"),
        ("GET", "/broken", 500, "internal-error"),
        ("GET", "(none)", 404, "no-such-route"),
    ]
    assert all(each["client"] == "testclient" and each["ms"] >= 0 for each in told)
    assert [info.route for info in finished] == [each["route"] for each in told]
    ours = [record.getMessage() for record in lines.records if record.name == "bogv.access"]
    assert not any("private" in line or "s3cret" in line for line in ours)


def test_a_route_of_a_mounted_app_is_told_as_that_app_calls_it() -> None:
    finished: list[RequestInfo] = []
    inner = FastAPI()
    inner.add_api_route("/file={path:path}", lambda path: path)
    outer = FastAPI(routes=[Mount("/", AccessLog(inner, on_end=finished.append))])
    TestClient(outer).get("/file=/home/me/private.png")
    assert [info.route for info in finished] == ["/file={path:path}"]
