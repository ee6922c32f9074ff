"""Files of weights, and a server on loopback with both addresses that they come from.

A state dict of ResNet50 has 94 MB; where nothing computes with it, two small tensors will do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from io import BytesIO

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from tests.support.web import serving

HUB_PATH = "/timm/resnet50.tv_in1k/resolve/main/model.safetensors"
SMALL = {"conv1.weight": (64, 30), "bn1.bias": (700,)}
"""Instead of ResNet50's shapes."""

Arrays = Mapping[str, NDArray[np.generic]]


def small_numbers(seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """A state dict with all that the real one has: features, classifier, a count of batches."""
    generator = np.random.default_rng(seed)
    numbers = {name: generator.normal(size=shape) for name, shape in SMALL.items()}
    return {
        **{name: each.astype(np.float32) for name, each in numbers.items()},
        "fc.bias": generator.normal(size=10).astype(np.float32),
        "bn1.num_batches_tracked": np.array(seed, np.int64),
    }


def as_torch(numbers: Arrays) -> bytes:
    """torch's file of them."""
    file = BytesIO()
    torch.save({name: torch.from_numpy(each.copy()) for name, each in numbers.items()}, file)
    return file.getvalue()


def as_safetensors(numbers: Arrays) -> bytes:
    """The hub's file of them, as the package safetensors writes it."""
    return save(dict(numbers), metadata={"format": "pt"})


def torchvision_name(body: bytes) -> str:
    """The name of torchvision's file, with the start of its SHA-256."""
    return f"resnet50-{hashlib.sha256(body).hexdigest()[:8]}.pth"


class Origins:
    """torchvision's server and the hub's, which redirects to where the bytes are.

    files: the body by path; others are 404. Transfers break off after `chunk` bytes.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.chunk: int | None = None
        self.requests: list[str] = []
        """Path, and the range if one was asked for."""

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range", "")
        self.requests.append(f"{handler.path} {asked}".strip())
        if handler.path == HUB_PATH and HUB_PATH in self.files:
            handler.send_response(302)
            handler.send_header("Location", "/cdn/blob?signature=1")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        body = self.files.get(HUB_PATH if handler.path.startswith("/cdn/") else handler.path)
        self._send(handler, body, int(asked[len("bytes=") : -1]) if asked else 0)

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes | None, at: int) -> None:
        handler.send_response(404 if body is None else 206 if at else 200)
        body = body or b""
        handler.send_header("Content-Length", str(len(body) - at))
        handler.send_header("Content-Range", f"bytes {at}-{len(body) - 1}/{len(body)}")
        handler.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')  # noqa: S324
        handler.end_headers()
        handler.wfile.write(body[at : at + self.chunk if self.chunk else None])


@contextmanager
def serving_weights(pth: bytes | None, hub: bytes | None) -> Iterator[tuple[str, Origins]]:
    """The base URL of a server with these files, at /models/ and as the hub has them."""
    files = {HUB_PATH: hub, f"/models/{torchvision_name(pth)}" if pth else "": pth}
    origins = Origins({path: body for path, body in files.items() if body is not None})
    with serving(origins) as base:
        yield base, origins
