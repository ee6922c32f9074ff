"""The Dockerfile and .dockerignore."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.deployment import DOCKERFILE, ROOT, SERVICES, expanded, instructions


def test_no_package_index_is_named_but_in_the_example() -> None:
    arguments = SERVICES["bogv"]["build"]["args"]
    for name in ("PIP_INDEX_URL", "TORCH_INDEX_URL"):
        assert name in instructions("ARG"), "without a default"
        assert expanded(arguments[name]) == ""


def test_the_image_is_made_of_the_locked_requirements() -> None:
    runs = [run for run in instructions("RUN") if "pip" in run or "install.py" in run]
    assert runs == ["python install.py requirements.txt"]
    assert "requirements.txt tools/install.py ./" in instructions("COPY")


def test_the_base_is_a_python_that_bogv_runs_on() -> None:
    assert instructions("FROM") == ["${PYTHON_IMAGE}"]
    assert instructions("ARG")[0] == "PYTHON_IMAGE=python:3.12-slim"
    assert expanded(SERVICES["bogv"]["build"]["args"]["PYTHON_IMAGE"]) == "python:3.12-slim"


def test_the_server_runs_as_a_user_who_owns_what_it_writes_to() -> None:
    user, group = instructions("USER")[-1].split(":")
    assert int(user) > 0
    assert int(group) > 0
    install = re.search(r"install -d -o (\d+) -g (\d+) ([\w/ ]+)$", DOCKERFILE, re.MULTILINE)
    assert install is not None
    assert install.groups()[:2] == (user, group)
    named = [mount.split(":") for mount in SERVICES["bogv"]["volumes"] if mount[0] not in "$./"]
    assert sorted(install[3].split()) == sorted(target for _, target in named)


def test_the_server_is_started_without_a_shell_that_would_keep_signals_from_it() -> None:
    assert [json.loads(command) for command in instructions("CMD")] == [["python", "app.py"]]
    assert instructions("ENTRYPOINT") == []


def test_the_image_sets_the_environment_of_the_container() -> None:
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(instructions("ENV"))))
    inside = {"BOGV_HOST": "0.0.0.0", "BOGV_DATA_DIR": "/data", "TORCH_HOME": "/opt/torch"}
    assert inside.items() <= environment.items()
    assert instructions("EXPOSE") == ["7000"]


def test_the_weights_are_fetched_by_the_user_and_only_when_asked_for() -> None:
    assert "FETCH_WEIGHTS=0" in instructions("ARG")
    at = DOCKERFILE.index('if [ "$FETCH_WEIGHTS" = 1 ]; then python -m bogv weights; fi')
    assert DOCKERFILE.rindex("TORCH_HOME=", 0, at) < DOCKERFILE.rindex("USER ", 0, at)


def test_compose_passes_only_arguments_that_the_dockerfile_declares() -> None:
    declared = {argument.split("=")[0] for argument in instructions("ARG")}
    assert set(SERVICES["bogv"]["build"]["args"]) == declared


def test_what_the_dockerfile_copies_exists_and_is_not_ignored() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert lines[1] == "*"
    kept = {line[1:].rstrip("/") for line in lines if line.startswith("!")}
    copied = {source for copy in instructions("COPY") for source in copy.split()[:-1]}
    assert copied == kept
    assert all((ROOT / source).exists() for source in copied)
    for secret in (".env", "secrets", "secrets/token"):
        assert not any(fnmatch(secret, name) for name in kept)


@contextmanager
def health(status: int) -> Iterator[int]:
    """A server, on the port given out, whose health route answers with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002, its name there
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_the_health_check_of_the_image_tells_healthy_from_not(status: int, healthy: bool) -> None:
    command = json.loads(instructions("HEALTHCHECK")[0].split("CMD", 1)[1])
    assert command[:2] == ["python", "-c"]
    with health(status) as port:
        # A proxy that is not there: the check must not ask one.
        environment = os.environ | {"API_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
        done = subprocess.run(
            [sys.executable, *command[1:]], env=environment, capture_output=True, check=False
        )
    assert (done.returncode == 0) is healthy, done.stderr.decode()
