"""Secrets: from files, and not left in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from bogv.config import Settings, read_settings
from bogv.environment import forget
from tests.support.running import ROOT, running

SECRETS = {"TOKEN": "token", "MILVUS_PASSWORD": "milvus_password", "MILVUS_TOKEN": "milvus_token"}


@pytest.mark.parametrize(("variable", "name"), SECRETS.items())
def test_a_secret_may_come_from_a_file(
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
def test_a_file_of_a_secret_that_cannot_be_meant_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    file = tmp_path / "secret"
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(ValidationError, match=f"{variable}_FILE names can't be read: No such file"):
        Settings()
    for content, why in ((b"", "is empty"), (b"\n", "is empty"), (b"\xff", "no UTF-8 text")):
        file.write_bytes(content)
        with pytest.raises(ValidationError, match=f"{variable}_FILE names .*{why}"):
            Settings()
    file.write_text("from the file")
    monkeypatch.setenv(variable, "hush-hush")
    with pytest.raises(ValidationError, match=f"and {variable}_FILE too: set one") as caught:
        Settings()
    assert "hush-hush" not in str(caught.value)
    assert "from the file" not in str(caught.value)


def test_the_environment_forgets_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("token", "in lower case, as pydantic takes it too")
    monkeypatch.setenv("MILVUS_HOST", "http://user:password@db")
    monkeypatch.setenv("BOGV_HOST", "127.0.0.1")
    settings = read_settings()
    assert settings.token is not None
    assert "token" not in os.environ
    assert "MILVUS_HOST" not in os.environ
    assert os.environ["BOGV_HOST"] == "127.0.0.1"


def test_what_is_forgotten_is_not_to_be_read_in_proc_nor_by_a_child() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from bogv.environment import forget\n"
        "forget(['TOKEN', 'ABSENT'])\n"
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


def test_forgetting_nothing_changes_nothing() -> None:
    before = Path("/proc/self/environ").read_bytes()
    forget([])
    assert Path("/proc/self/environ").read_bytes() == before


def test_a_server_has_its_secrets_in_no_environment(tmp_path: Path) -> None:
    with running(tmp_path / "data", TOKEN="hush-hush", MILVUS_TOKEN="hush-hush") as server:
        own = server.process.pid
        assert b"BOGV_DATA_DIR=" in Path(f"/proc/{own}/environ").read_bytes()
        for pid in [own, *children(own)]:
            assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()


def children(pid: int) -> list[int]:
    """Those of its main thread and of the others, and theirs."""
    found = [
        int(child)
        for tasks in Path(f"/proc/{pid}/task").glob("*/children")
        for child in tasks.read_text().split()
    ]
    return found + [each for child in found for each in children(child)]
