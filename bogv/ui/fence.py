"""What gradio serves and fetches beyond what the demo needs, closed.

Gradio fetches any public URL that a browser names, without a limit on size: as the path of a file
(`/gradio_api/file=https://…`) and as the path of an upload. bogv fetches URLs in one place,
`Sources.from_url`, behind its own fence.
"""

from __future__ import annotations

import re
from typing import Any

import gradio as gr
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

GRADIO = "/gradio_api/"
# The routes that the page and gradio_client ask for. Gradio has others: a proxy, screen recording,
# a run history, an editor of the app's own code.
OPEN = re.compile(
    r"(info|app_id|user|token|login_check|startup-events|theme\.css|upload|upload_progress|cancel"
    r"|reset|queue/(join|data)|heartbeat/\w+|call(/v2)?/\w+(/\w+)?|file[=/](?!\s*\w+:/).+)/?",
    re.DOTALL,
)


class GradioFence:
    """ASGI middleware: 404 for gradio's routes that the demo doesn't need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if path.startswith(GRADIO) and not OPEN.fullmatch(path[len(GRADIO) :]):
            await PlainTextResponse("Not found", status_code=404)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class FencedBlocks(gr.Blocks):
    """Blocks that takes no URL for an uploaded file."""

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Called by gradio before it fetches what the inputs name. Raises gr.Error."""
        super().validate_inputs(block_fn, inputs)
        if any(map(_names_url, inputs)):
            raise gr.Error("A file must be uploaded, not named by a URL.", print_exception=False)


def _names_url(value: Any) -> bool:
    if isinstance(value, dict):
        path = str(value.get("path")).lower()
        return path.startswith(("http:", "https:")) or any(map(_names_url, value.values()))
    return isinstance(value, list) and any(map(_names_url, value))
