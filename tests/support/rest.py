"""Requests to the REST API, and its envelopes as documented."""

from __future__ import annotations

from typing import Any

from tests.support.fakes import png

LIMIT = 100_000  # bytes of an upload
BASE = "/api/image/sim"
BESIDE = {"add": ["id", "near_duplicate_of"], "search": ["verdict"], "del": []}
"""Fields of a success beside those of the document."""
MESSAGES = {"add": "存储图片", "search": "检索图片", "del": "删除图片"}


def succeeds(response: Any, kind: str) -> Any:
    """The data of a success, whose envelope is as documented to the letter."""
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["msg", "code", "data", *BESIDE[kind]]
    assert (body["msg"], body["code"]) == (f"{MESSAGES[kind]}成功!", 200)
    return body["data"]


def fails(response: Any, kind: str, status: int, name: str) -> str:
    """The reason of a failure, whose envelope is as documented to the letter."""
    body = response.json()
    assert (response.status_code, body["error"]["type"]) == (status, name), body
    assert list(body) == ["msg", "code", "data", "error"]
    message = "服务异常!" if kind == "health" else f"{MESSAGES.get(kind, '请求')}失败!"
    assert (body["msg"], body["code"]) == (message, 500)
    assert body["data"] is None
    detail = body["error"]["detail"]
    assert detail.endswith(".")
    return str(detail)


def upload(seed: int = 1, name: str = "cat.png") -> dict[str, tuple[str, bytes]]:
    return {"file": (name, png(seed))}
