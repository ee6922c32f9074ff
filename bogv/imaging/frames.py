"""Frames between bogv and its decoding processes: a JSON object and bytes, both with their length.

JSON, not pickle: a process that a picture has taken over must not be able to run code in bogv's.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

_LENGTHS = struct.Struct("<IQ")  # of the header and of the payload, bytes
HEADER_BYTES = 65_536

Header = dict[str, Any]


def send(connection: socket.socket, header: Header, payload: bytes | memoryview = b"") -> None:
    """Send one frame. Raises OSError when the other end is gone."""
    encoded = json.dumps(header).encode()
    connection.sendall(_LENGTHS.pack(len(encoded), len(payload)) + encoded)
    connection.sendall(payload)


def receive(
    connection: socket.socket, max_payload: int, deadline: float | None = None
) -> tuple[Header, bytearray]:
    """Receive one frame.

    deadline: a time of `time.monotonic`. Raises TimeoutError after it, EOFError when the other end
    is gone, OSError, ValueError for what is no frame or has more than `max_payload` bytes.
    """
    lengths = _LENGTHS.unpack(_exactly(connection, _LENGTHS.size, deadline))
    if lengths[0] > HEADER_BYTES or lengths[1] > max_payload:
        raise ValueError("The frame is larger than any that is expected.")
    header = json.loads(_exactly(connection, lengths[0], deadline))
    if not isinstance(header, dict):
        raise ValueError("The frame has no header.")  # noqa: TRY004 - from outside
    return header, _exactly(connection, lengths[1], deadline)


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytearray:
    data = bytearray(count)
    rest = memoryview(data)
    while rest:
        if deadline is not None:
            # Zero would mean not to wait at all, which fails with another error.
            connection.settimeout(max(deadline - time.monotonic(), 1e-6))
        received = connection.recv_into(rest)
        if not received:
            raise EOFError("The other end has closed the connection.")
        rest = rest[received:]
    return data
