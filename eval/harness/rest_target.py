"""A bogv server's REST API as the target of a load generator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx

from eval.errors import WorkbenchError
from eval.harness.load import Image, Reply

SEARCH = "/api/image/sim/search/file"
HEALTH = "/api/health"
_DURATION = re.compile(r"\s*([\w-]+)\s*;\s*dur=([\d.]+)\s*")


@dataclass(frozen=True)
class TargetInfo:
    """What a server reports about itself."""

    count: int
    """Images in its gallery."""
    database: str
    weights: str
    fingerprint: str
    engine: str
    version: str


class RestTarget:
    """`POST /api/image/sim/search/file` of a server, over keep-alive connections.

    An async context manager. Ignores the environment's proxies, which would add their own latency.
    """

    def __init__(self, url: str, token: str | None, limit: int, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._limit = limit
        self._bodies: dict[str, tuple[bytes, str]] = {}
        # Unlimited, so that no request waits in the client for a connection.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._client = httpx.AsyncClient(
            headers={"token": token} if token else {},
            timeout=timeout,
            limits=limits,
            trust_env=False,
        )

    async def __aenter__(self) -> RestTarget:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def describe(self) -> TargetInfo:
        """Information about the server. Raises WorkbenchError if it isn't bogv or needs a token.

        Closes the connection, so that the first search includes opening one.
        """
        try:
            answer = await self._client.get(f"{self.url}{HEALTH}", headers={"Connection": "close"})
            health = answer.json()["data"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            reason = str(error) or type(error).__name__
            raise WorkbenchError(
                f"No bogv server answers at {self.url}{HEALTH}: {reason}."
            ) from error
        if not isinstance(health, dict) or "status" not in health:
            raise WorkbenchError(f"The server at {self.url} is unhealthy: {answer.text[:200]}")
        if "fingerprint" not in health:
            raise WorkbenchError(f"The server at {self.url} requires a token: set TOKEN.")
        return TargetInfo(**{name: health[name] for name in TargetInfo.__dataclass_fields__})

    async def send(self, image: Image) -> Reply:
        """Search with an image; anything but hits is an error."""
        body, kind = self._body(image)
        try:
            answer = await self._client.post(
                f"{self.url}{SEARCH}", content=body, headers={"Content-Type": kind}
            )
        except httpx.TimeoutException:
            return Reply("timeout")
        except httpx.HTTPError as error:
            return Reply(type(error).__name__)
        return Reply(_error(answer), stages(answer.headers.get("Server-Timing", "")))

    def _body(self, image: Image) -> tuple[bytes, str]:
        """The multipart body and its Content-Type, made once for each image."""
        if image.name not in self._bodies:
            self._bodies[image.name] = multipart(image, self._limit)
        return self._bodies[image.name]


def multipart(image: Image, limit: int) -> tuple[bytes, str]:
    """The body of a search with an image, as `SEARCH` takes it, and its Content-Type."""
    file = {"file": (Path(image.name).name, image.data)}
    request = httpx.Request("POST", "http://bogv", files=file, data={"limit": str(limit)})
    return request.read(), request.headers["Content-Type"]


def stages(header: str) -> dict[str, float]:
    """`Server-Timing: decode;dur=4.1, embed;dur=7.4` (ms) to seconds by stage."""
    found = (_DURATION.fullmatch(part) for part in header.split(","))
    return {match[1]: float(match[2]) / 1000 for match in found if match}


def _error(answer: httpx.Response) -> str | None:
    """None for an envelope with hits, else the envelope's error type, else the status."""
    try:
        body = answer.json()
        if body["code"] == 200 and isinstance(body["data"], list):
            return None
        return str(body["error"]["type"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}, no envelope"
