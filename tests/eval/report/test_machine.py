from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.report import machine
from eval.report.machine import embedding_packages, git_revision

Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A repository of one file, which stands for bogv's own."""
    (tmp_path / "gitconfig").write_text("[user]\nname = Ada\nemail = ada@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    root = tmp_path / "bogv"
    root.mkdir()
    monkeypatch.setattr(machine, "ROOT", root)

    def run(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True
        ).stdout.strip()

    run("init")
    (root / "code.py").write_text("one\n")
    run("add", ".")
    run("commit", "-m", "one")
    return run


def revision() -> str | None:
    return git_revision.__wrapped__()


def test_a_clean_tree_has_its_revision_also_with_new_files_beside_it(git: Git) -> None:
    assert revision() == git("rev-parse", "HEAD")
    (machine.ROOT / "results.csv").write_text("new")
    assert revision() == git("rev-parse", "HEAD")


def test_each_state_of_a_changed_tree_is_dirty_in_its_own_way(git: Git) -> None:
    found = set()
    for text in ("two\n", "three\n"):
        (machine.ROOT / "code.py").write_text(text)
        found.add(revision())
    git("add", ".")
    assert revision() in found  # staged or not
    assert len(found) == 2
    assert all(str(each).startswith(git("rev-parse", "HEAD") + "-dirty-") for each in found)


def test_a_copy_without_git_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert revision() is None


def test_a_folder_that_git_cannot_read_has_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert revision() is None


def test_embeddings_depend_on_the_versions_of_decoder_and_network() -> None:
    assert set(embedding_packages()) == {"bogv", "openvino", "pillow", "torch"}
