"""Wire format between bogv and its decoding processes: two lengths, a JSON header, a payload.

JSON, not pickle: a worker that a malicious image has taken over must not run code in bogv itself.
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
    """Send one frame. Raises OSError if the other end has closed the connection."""
    encoded = json.dumps(header).encode()
    connection.sendall(_LENGTHS.pack(len(encoded), len(payload)) + encoded)
    connection.sendall(payload)


def receive(
    connection: socket.socket, max_payload: int, deadline: float | None = None
) -> tuple[Header, bytearray]:
    """Receive one frame.

    max_payload: bytes. deadline: a time of `time.monotonic`. Raises TimeoutError after it, EOFError
    if the other end has closed the connection, OSError, and ValueError for an invalid frame or one
    whose payload exceeds `max_payload`.
    """
    lengths = _LENGTHS.unpack(_receive_exactly(connection, _LENGTHS.size, deadline))
    if lengths[0] > HEADER_BYTES or lengths[1] > max_payload:
        raise ValueError("The frame is larger than allowed.")
    header = json.loads(_receive_exactly(connection, lengths[0], deadline))
    if not isinstance(header, dict):
        raise ValueError("The frame has no header.")  # noqa: TRY004 - invalid input
    return header, _receive_exactly(connection, lengths[1], deadline)


def _receive_exactly(connection: socket.socket, count: int, deadline: float | None) -> bytearray:
    data = bytearray(count)
    remaining = memoryview(data)
    while remaining:
        if deadline is not None:
            # Above zero: a timeout of 0 makes the socket non-blocking, which raises another error.
            connection.settimeout(max(deadline - time.monotonic(), 1e-6))
        received = connection.recv_into(remaining)
        if not received:
            raise EOFError("The other end has closed the connection.")
        remaining = remaining[received:]
    return data
