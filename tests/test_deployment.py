"""compose.yaml, .env.example, Dockerfile and .dockerignore agree with each other and with bogv."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from bogv.config import Settings

ROOT = Path(__file__).parents[1]
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")

# The environment of bogv that the deployment is documented with.
SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|ACCESS_KEY|ROOT_USER")
VARIABLE = re.compile(r"\$\{(\w+)(:[-?])?([^}]*)\}")  # name, operator, default or message

each_service = pytest.mark.parametrize("name", SERVICES)


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of that name in the Dockerfile, in order."""
    return re.findall(rf"^{name}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def example() -> dict[str, str]:
    """The variables of .env.example."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def expanded(text: str) -> str:
    """As compose reads it with an empty .env."""
    return VARIABLE.sub(lambda found: found[3] if found[2] == ":-" else "", text)


# compose.yaml


def test_the_documented_services_are_there_on_the_documented_ports() -> None:
    ports = {name: [expanded(p) for p in s.get("ports", [])] for name, s in SERVICES.items()}
    assert ports == {
        "etcd": [],
        "minio": [],
        "standalone": ["127.0.0.1:19530:19530", "127.0.0.1:9091:9091"],
        "attu": ["127.0.0.1:19531:3000"],
        "bogv": ["127.0.0.1:7000:7000"],
    }


def test_only_a_variable_opens_a_port_beyond_this_machine() -> None:
    for service in SERVICES.values():
        for port in service.get("ports", []):
            assert re.match(r"\$\{[A-Z]+_BIND:-127\.0\.0\.1\}:", port), port


@each_service
def test_a_service_restarts_and_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"]
    too_much = {"privileged", "cap_add", "pid", "ipc", "network_mode", "devices", "container_name"}
    assert not too_much & set(service)
    assert "docker.sock" not in json.dumps(service)


@each_service
def test_a_service_has_a_health_check(name: str) -> None:
    if "build" in SERVICES[name]:
        assert len(instructions("HEALTHCHECK")) == 1
    else:
        check = SERVICES[name]["healthcheck"]
        assert check["test"][0] == "CMD"
        assert len(check["test"]) > 1
        assert {"interval", "timeout", "retries"} <= set(check)


@each_service
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    if "build" not in SERVICES[name]:
        assert re.fullmatch(r"[\w./-]+:(v|RELEASE\.)?\d[\w.-]+", SERVICES[name]["image"])


def test_milvus_is_of_the_line_that_attu_is_made_for() -> None:
    version = re.compile(r":v(\d+\.\d+)\.\d+$")
    lines = [version.findall(SERVICES[name]["image"]) for name in ("standalone", "attu")]
    assert lines == [["2.6"], ["2.6"]]


def test_services_start_in_order_each_when_the_one_before_is_healthy() -> None:
    waits = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    assert waits == {
        "etcd": set(),
        "minio": set(),
        "standalone": {"etcd", "minio"},
        "attu": {"standalone"},
        "bogv": {"standalone"},
    }
    for service in SERVICES.values():
        for target, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[target]


def test_only_milvus_reaches_its_stores() -> None:
    assert COMPOSE["networks"]["storage"] == {"internal": True}
    networks = {name: service.get("networks", ["default"]) for name, service in SERVICES.items()}
    inside = {name for name, joined in networks.items() if "storage" in joined}
    outside = {name for name, joined in networks.items() if "default" in joined}
    assert inside == {"etcd", "minio", "standalone"}
    assert outside == {"standalone", "attu", "bogv"}


def test_what_must_last_lies_on_a_declared_volume() -> None:
    used = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source, target, *mode = expanded(mount).split(":")
            if source.startswith("."):
                assert (target, mode) == ("/images", ["ro"])
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])
    holds_data = {"etcd", "minio", "standalone", "bogv"}
    assert holds_data == {name for name, service in SERVICES.items() if service.get("volumes")}


@each_service
def test_a_secret_comes_from_outside(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET.search(variable):
            assert re.fullmatch(r"\$\{\w+(:-|:\?[^}]+)\}", value), f"{variable} is written down"


def test_minio_does_not_start_with_a_login_that_everybody_knows() -> None:
    for name, variables in {
        "minio": ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"),
        "standalone": ("MINIO_ACCESS_KEY_ID", "MINIO_SECRET_ACCESS_KEY"),
    }.items():
        values = [SERVICES[name]["environment"][variable] for variable in variables]
        required = [VARIABLE.fullmatch(value) for value in values]
        assert [found and found[1] for found in required] == [
            "MINIO_ACCESS_KEY",
            "MINIO_SECRET_KEY",
        ]
        assert [found and found[2] for found in required] == [":?", ":?"]


def test_bogv_is_given_every_variable_that_it_reads() -> None:
    given = set(SERVICES["bogv"]["environment"])
    read = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert given == read | {"TZ"}


def test_bogv_starts_with_the_environment_of_an_empty_env_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in SERVICES["bogv"]["environment"].items():
        monkeypatch.setenv(variable, expanded(value))
    settings = Settings()
    assert (settings.milvus_host, settings.milvus_port) == ("standalone", 19530)
    assert (settings.host, settings.port) == ("0.0.0.0", 7000)
    assert (settings.token, settings.image_inc_path) == (None, None)
    targets = [expanded(mount).split(":")[1] for mount in SERVICES["bogv"]["volumes"]]
    assert {str(settings.data_dir), *map(str, settings.roots)} <= set(targets)


def test_bogv_can_write_to_its_volumes_and_temporary_files_alone() -> None:
    service = SERVICES["bogv"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108


# .env.example


def test_the_example_names_every_variable_with_the_default_that_compose_has() -> None:
    defaults = {
        name: default if operator == ":-" else ""
        for name, operator, default in VARIABLE.findall(COMPOSE_TEXT)
    }
    assert example() == defaults


def test_the_example_holds_no_secret() -> None:
    secrets = {name: value for name, value in example().items() if SECRET.search(name)}
    assert len(secrets) >= 5
    assert set(secrets.values()) == {""}


# Dockerfile and .dockerignore


def test_torch_is_the_one_of_the_requirements_from_the_index_for_cpus() -> None:
    pin = re.compile(r"^(torch|torchvision)==(\S+)$", re.MULTILINE)
    wanted = set(pin.findall((ROOT / "requirements.txt").read_text("utf-8")))
    runs = instructions("RUN")
    torch_run = next(run for run in runs if "torch==" in run)
    assert len(wanted) == 2
    assert set(re.findall(r"\b(torch|torchvision)==(\S+)", torch_run)) == wanted
    assert '--index-url "$TORCH_INDEX_URL"' in torch_run
    assert "TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu" in instructions("ARG")
    requirements_run = next(run for run in runs if "-r requirements.txt" in run)
    assert runs.index(torch_run) < runs.index(requirements_run), (
        "the default index's would be taken"
    )


def test_the_base_is_a_python_that_bogv_runs_on() -> None:
    assert instructions("FROM") == ["python:3.12-slim"]


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
    assert not any(fnmatch(".env", name) for name in kept), "it holds the secrets"


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


# What Docker itself says of it, where there is one


def compose_config(**secrets: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in example()}
    return subprocess.run(
        ["docker", "compose", "--env-file", ".env.example", "config", "--quiet"],
        cwd=ROOT,
        env=environment | secrets,
        capture_output=True,
        text=True,
        check=False,
    )


def has_docker_compose() -> bool:
    command = ["docker", "compose", "version"]
    return bool(
        shutil.which("docker")
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


# Not skipped but left out: the checks above stand in for them.
if has_docker_compose():

    def test_docker_compose_takes_the_file() -> None:
        done = compose_config(MINIO_ACCESS_KEY="somebody", MINIO_SECRET_KEY="something")
        assert (done.returncode, done.stderr) == (0, "")

    def test_docker_compose_asks_for_the_login_of_minio() -> None:
        done = compose_config()
        assert done.returncode != 0
        assert "set it in .env" in done.stderr
