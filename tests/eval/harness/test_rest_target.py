from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from eval.harness.load import Image, Reply
from eval.harness.rest_target import RestTarget, stages
from tests.eval.support.latency import TIMING


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (
            httpx.Response(
                200, json={"msg": "", "code": 500, "data": None, "error": {"type": "x-y"}}
            ),
            "x-y",
        ),
        (
            httpx.Response(
                401, json={"msg": "", "code": 500, "data": None, "error": {"type": "unauthorized"}}
            ),
            "unauthorized",
        ),
        (httpx.Response(502, text="Bad Gateway"), "status 502, no envelope"),
        (httpx.Response(200, json=[]), "status 200, no envelope"),
        (httpx.Response(200, json={"code": 200, "data": None}), "status 200, no envelope"),
    ],
)
def test_every_response_but_an_envelope_with_hits_is_an_error(
    serve: Any, response: httpx.Response, error: str
) -> None:
    serve(lambda _: response)
    assert sent_once().error == error


def test_a_lost_connection_and_a_timeout_are_errors(serve: Any) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def stall(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    serve(refuse)
    assert sent_once() == Reply("ConnectError")
    serve(stall)
    assert sent_once() == Reply("timeout")


def sent_once() -> Reply:
    async def send() -> Reply:
        async with RestTarget("http://bogv/", None, 10, 5) as target:
            return await target.send(Image("a.png", b"bytes"))

    return asyncio.run(send())


def test_server_timing_is_read_as_seconds() -> None:
    assert stages(TIMING) == {
        "decode": 0.004,
        "embed": 0.0075,
        "search": 0.00225,
        "serialise": 0.00025,
    }
    assert stages('cache;desc="hit", db;dur=5') == {"db": 0.005}
    assert stages("") == {}
