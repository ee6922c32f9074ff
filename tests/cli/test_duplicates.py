"""Duplicates on the command line: found, shown, deleted; nothing without a rule or against a no."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bogv.__main__ import main
from bogv.cli.duplicates import Listing
from bogv.duplicates.duplicates import Group, Scan
from bogv.records import Record
from tests.support import models
from tests.support.pictures import EDITS, draw, photo

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; returns its exit status, output and errors."""
    models.lend(tmp_path / "data")
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BOGV_WEIGHTS", "untrained")

    def run_it(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(list(map(str, arguments)))
        code = exited.value.code
        status = code if isinstance(code, int) else int(code is not None)
        return status, *capsys.readouterr()

    return run_it


@pytest.fixture
def filled(run: Run, tmp_path: Path) -> Run:
    """Photos 0 to 2, and of 0 two copies: a smaller one, and the same file."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(photo(seed))
    (folder / "0again.jpg").write_bytes(photo(0))
    (folder / "0small.jpg").write_bytes(EDITS["smaller"](draw(0)))
    assert run("add", folder, "--key-from", "stem")[0] == 0
    return run


def keys(images: list[dict[str, object]]) -> set[object]:
    return {each["key"] for each in images}


def test_duplicates_are_listed_and_deleted(filled: Run) -> None:
    status, out, err = filled("duplicates", "--json")
    result = json.loads(out)
    [group] = result["groups"]
    assert (status, group["match"], result["images"], "deleted" in result) == (0, "copy", 5, False)
    assert keys(group["images"]) == {"0", "0again", "0small"}
    assert group["images"][0].keys() >= {"id", "key", "md5", "width", "height", "size", "added_at"}
    assert "Comparing" in err

    [exact] = json.loads(filled("duplicates", "--match", "exact", "--json")[1])["groups"]
    assert (exact["match"], keys(exact["images"])) == ("exact", {"0", "0again"})

    status, out, _ = filled("duplicates")
    assert out.count("  keep ") == 1
    assert "1 group among 5 images; 2 images," in out

    status, out, _ = filled("duplicates", "--delete", "--keep", "oldest", "--json")
    assert (status, json.loads(out)["deleted"]) == (0, 2)
    left = json.loads(filled("list", "--json")[1])
    oldest = min(group["images"], key=lambda each: each["added_at"])
    assert keys(left) == {"1", "2", oldest["key"]}
    assert filled("duplicates", "--delete", "--keep", "largest")[1].endswith("0 deleted\n")


def test_deleting_needs_a_rule_and_on_a_terminal_a_yes(
    filled: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, _, err = filled("duplicates", "--delete")
    assert status == 2
    assert "--delete needs --keep" in err
    assert filled("duplicates", "--match", "alike")[0] == 2

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []

    def answer_no(question: str, **_: object) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("bogv.__main__.typer.confirm", answer_no)
    assert filled("duplicates", "--delete", "--keep", "largest")[1].endswith("0 deleted\n")
    assert asked == ["Delete 2 images?"]
    out = filled("duplicates", "--delete", "--keep", "largest", "--yes")[1]
    assert out.endswith("2 deleted\n")
    assert len(asked) == 1


def test_what_a_scan_could_not_compare_is_told() -> None:
    images = tuple(Record(i, f"k{i}", "", "", 10, 10, 2000 * i, 0) for i in (1, 2))
    scan = Scan("copy", (Group("copy", images),), 1234, 1200, is_complete=True, is_cut=True)
    limits = list(Listing(scan, "largest").limits())
    assert [line.split()[0] for line in limits] == ["Images", "So"]
    assert "1,200" in limits[0]
    first, *_, last = Listing(scan, "largest").lines()
    assert first == "copy: 2 images, 2,000 bytes to save"
    assert last == "1 group among 1,234 images; 1 image, 2,000 bytes to save"
    exact = Scan("exact", (), 5, 5, is_complete=True, is_cut=False)
    assert list(Listing(exact, "oldest").limits()) == []
