"""Secrets are read from files, and removed from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bogv.config import Settings, read_settings
from bogv.environment import unset_variables
from tests.support.running import ROOT, running

SECRETS = {"TOKEN": "token", "MILVUS_PASSWORD": "milvus_password", "MILVUS_TOKEN": "milvus_token"}


@pytest.mark.parametrize(("variable", "name"), SECRETS.items())
def test_a_secret_can_be_read_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, name: str
) -> None:
    file = tmp_path / "secret"
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    for written in ("s3cret-令牌 ", "s3cret-令牌 \n", "s3cret-令牌 \r\n"):
        file.write_text(written, "utf-8", newline="")
        assert getattr(Settings(), name).get_secret_value() == "s3cret-令牌 "
    monkeypatch.setenv(variable, "")  # as compose passes it on
    assert getattr(Settings(), name).get_secret_value() == "s3cret-令牌 "


@pytest.mark.parametrize("variable", SECRETS)
def test_an_invalid_secret_file_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    file = tmp_path / "secret"
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(ValidationError, match=f"{variable}_FILE can't be read: No such file"):
        Settings()
    for content, why in ((b"", "is empty"), (b"\n", "is empty"), (b"\xff", "not UTF-8 text")):
        file.write_bytes(content)
        with pytest.raises(ValidationError, match=f"{variable}_FILE .*{why}"):
            Settings()
    file.write_text("from the file")
    monkeypatch.setenv(variable, "hush-hush")
    with pytest.raises(
        ValidationError, match=f"{variable}_FILE is set too: set only one"
    ) as caught:
        Settings()
    assert "hush-hush" not in str(caught.value)
    assert "from the file" not in str(caught.value)


def test_secrets_are_removed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("token", "in lower case, which pydantic also accepts")
    monkeypatch.setenv("MILVUS_HOST", "http://user:password@db")
    monkeypatch.setenv("BOGV_HOST", "127.0.0.1")
    settings = read_settings()
    assert settings.token is not None
    assert "token" not in os.environ
    assert "MILVUS_HOST" not in os.environ
    assert os.environ["BOGV_HOST"] == "127.0.0.1"


def test_removed_variables_are_not_readable_in_proc_or_by_a_child_process() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from bogv.environment import unset_variables\n"
        "unset_variables(['TOKEN', 'ABSENT'])\n"
        "print(os.environ['KEPT'], os.environ.get('TOKEN'))\n"
        "sys.stdout.flush()\n"
        "at = ['/proc/self/environ', f'/proc/{os.getpid()}/environ']\n"
        "subprocess.run(['cat', *at], check=True)\n"
    )
    environment = os.environ | {"TOKEN": "hush-hush", "token": "hush-hush-2", "KEPT": "kept=TOKEN"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith(b"kept=TOKEN None\n")
    assert done.stdout.count(b"KEPT=kept=TOKEN\0") == 2
    assert b"hush" not in done.stdout + done.stderr


def test_removing_no_variables_changes_nothing() -> None:
    before = Path("/proc/self/environ").read_bytes()
    unset_variables([])
    assert Path("/proc/self/environ").read_bytes() == before


def test_no_process_of_a_server_has_secrets_in_its_environment(tmp_path: Path) -> None:
    with running(tmp_path / "data", TOKEN="hush-hush", MILVUS_TOKEN="hush-hush") as server:
        own = server.process.pid
        assert b"BOGV_DATA_DIR=" in Path(f"/proc/{own}/environ").read_bytes()
        for pid in [own, *children(own)]:
            assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()


def children(pid: int) -> list[int]:
    """The child processes of all threads of a process, and their children."""
    found = [
        int(child)
        for tasks in Path(f"/proc/{pid}/task").glob("*/children")
        for child in tasks.read_text().split()
    ]
    return found + [each for child in found for each in children(child)]
