from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from eval.errors import WorkbenchError
from eval.harness.processes import resident_mib
from eval.harness.servers import serving

ANSWERS = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "".join(os.environ.get(each, "") for each in ("BOGV_DATA_DIR", "TOKEN", "X"))
        body = body.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["API_PORT"])), Handler).serve_forever()
"""
DIES = "import sys; print('starting'); sys.exit('bogv: the gallery is in use')"


def test_a_server_is_there_within_the_block_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret")  # of the user's own server
    data = tmp_path / "data"
    with serving(data, "-c", ANSWERS, X="!", BOGV_DATA_DIR="elsewhere") as server:
        told = httpx.get(f"{server.url}/api/health", trust_env=False).text
        assert told == f"{data}!"
        assert server.start_seconds > 0
        if Path("/proc/self/maps").exists():
            assert (server.resident_mib() or 0) > 1
            assert server.has_loaded("python")
            assert server.has_loaded("libtorch") is False
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{server.url}/api/health", trust_env=False)


def test_it_is_stopped_where_the_measurement_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), serving(tmp_path / "data", "-c", ANSWERS, X="") as server:
        raise KeyError
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url, trust_env=False)


def test_the_error_for_a_server_that_exits_has_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkbenchError, match="the gallery is in use"),
        serving(tmp_path / "data", "-c", DIES),
    ):
        raise AssertionError("it never answered")


def test_the_memory_of_a_process_is_read_by_its_id() -> None:
    assert resident_mib(os.getpid()) == pytest.approx(resident_mib(), rel=0.2)
