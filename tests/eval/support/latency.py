"""A bogv server that is a function, and a measurement of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bogv.embedding.weights import UNTRAINED
from eval.latency.measure import LatencyOptions, LatencyOutcome, measure_server

TIMING = "decode;dur=4.000, embed;dur=7.5, search;dur=2.25, serialise;dur=0.25"
ENVELOPE = {"msg": "检索图片成功!", "code": 200, "data": []}
HEALTH = {
    "status": "ok",
    "count": 7,
    "database": "Milvus Lite",
    "collection": "images",
    "weights": UNTRAINED,
    "fingerprint": "f" * 12,
    "engine": "fake",
    "version": "0",
}
OPTIONS = LatencyOptions([1, 2], requests=6, seconds=30, warm_up=2, timeout=20, progress=False)
Answer = Callable[[httpx.Request], httpx.Response]


def found(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=ENVELOPE, headers={"Server-Timing": TIMING})


def measured(source: Path, **more: Any) -> LatencyOutcome:
    return measure_server(
        "http://bogv", "secret", source, LatencyOptions(**{**vars(OPTIONS), **more})
    )
