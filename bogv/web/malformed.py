"""What is no HTTP, uvicorn refuses without asking the app: in the envelope all the same."""

from __future__ import annotations

import json

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bogv.errors import InvalidRequest
from bogv.web.envelope import MESSAGES


class EnvelopeProtocol(H11Protocol):
    """uvicorn's. What cannot be parsed has no path: it is told to all as it is to the API's."""

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn."""
        body = {"msg": MESSAGES[""][1], "code": 500, "data": None}
        body["error"] = {"type": InvalidRequest.type, "detail": msg}
        data = json.dumps(body, ensure_ascii=False).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
            ("Connection", "close"),
        ]
        start = h11.Response(status_code=400, headers=headers, reason="Bad Request")
        for event in (start, h11.Data(data=data), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
