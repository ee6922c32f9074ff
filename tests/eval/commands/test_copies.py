from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from eval import __main__ as command_line
from eval.commands import copies as command
from tests.support.fakes import fake_embedder


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["copies", "--dataset", "folder", *map(str, arguments)])
    return stopped.value.code if isinstance(stopped.value.code, int) else 1


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(command, "load_embedder", lambda *_: fake_embedder())


def test_the_command_writes_a_result_and_prints_it(
    photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--root", photo_folder, "--sample", "2", "--edits", "mirror, jpeg")
    assert run(*options, "--out", tmp_path / "results") == 0
    out = capsys.readouterr().out
    assert "Absent:   24 searches, of 12 photos" in out
    assert "too few searches: 24" in out
    written = Path(out.splitlines()[-1])
    result = json.loads((written / "run.json").read_text())
    assert (result["kind"], result["n"], result["gallery"]) == ("copies", 12, 12)
    assert result["command"].startswith("python -m eval copies --dataset folder --root")
    assert len(pd.read_parquet(written / "per_query.parquet")) == 2 * 24
    assert set(pd.read_parquet(written / "pairs.parquet")["kind"]) >= {"exact", "copy", "similar"}
    assert (written / "figures" / "roc.png").is_file()


def test_an_unknown_edit_is_one_line_and_status_2(
    photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--root", photo_folder, "--edits", "zoom") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("eval: There is no edit 'zoom'; there are crop, ")
