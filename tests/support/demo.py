"""The demo, without a browser."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.config import Settings
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.demo import mount_demo
from bogv.web.access import AccessControl

API = "/gradio_api"


def demo_client(
    search: ImageSearch, folder: Path, access: AccessControl | None = None, **settings: Any
) -> TestClient:
    """A client of the demo, to be entered and left."""
    chosen = Settings(data_dir=folder, max_upload_mb=0.1, **settings)

    async def build() -> FastAPI:  # without a running loop, gradio opens some and leaves them
        return mount_demo(chosen, search, Sources([folder], 100_000), access)

    return TestClient(asyncio.run(build()))


def call(client: TestClient, name: str, *data: Any) -> Any:
    """What a named endpoint answers, as gradio_client asks for it; an error's text if it fails."""
    event = client.post(f"{API}/call/{name}", json={"data": data}).json()["event_id"]
    stream = client.get(f"{API}/call/{name}/{event}").text
    kind, body = re.findall(r"event: (\w+)\ndata: (.*)", stream)[-1]
    answer = json.loads(body)
    return answer["error"] if kind == "error" else answer[0]


def upload(client: TestClient, data: bytes, name: str = "a.png") -> dict[str, Any]:
    """A file as gradio's page sends it."""
    path = client.post(f"{API}/upload", files={"files": (name, data)}).json()[0]
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}
