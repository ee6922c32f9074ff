from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval.report.results import read_result
from eval.sweep.result import Sweep
from tests.eval.support.retrieval import Eval
from tests.eval.support.sweep import fake_networks


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_networks(monkeypatch)


def test_a_sweep_by_options_is_written_and_fails_with_its_cells(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    arguments = (
        "--dataset",
        f"folder={folder}",
        "--post",
        "pca:3,pca:999",
        "--out",
        tmp_path / "r",
    )
    assert run_eval("sweep", *arguments, "--weights", "untrained") == 1
    out, err = capsys.readouterr()
    assert out.startswith("Weights:  UNTRAINED, fingerprint")
    assert "FAILED: folder, pca:999: --post asks for 999 dimensions" in out
    assert "Baseline: default, bogv's default" in out
    assert "3 runs: 3 settings, 1 dataset" in err
    written = Path(out.splitlines()[-1])
    assert {path.name for path in written.iterdir()} == {
        "SHA256SUMS",
        "figures",
        "report.html",
        "report.md",
        "summary.csv",
        "sweep.csv",
        "sweep.json",
    }
    sweep = read_result(written, Sweep)
    assert sweep.command.startswith("python -m eval sweep --dataset folder=")
    runs = [tmp_path / "r" / row.runs[0] for row in sweep.rows if row.runs]
    assert run_eval("compare", *runs) == 0


def test_a_file_is_run_with_the_datasets_of_the_options(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("datasets: [{id: clothing}]\nsettings: [{crop: pad}]\n")
    options = ("--dataset", f"folder={folder}", "--limit", "8", "--seeds", "0,1", "--weights")
    arguments = (path, *options, "untrained", "--out", tmp_path / "r", "--json")
    assert run_eval("sweep", *arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"]["trained"] is False
    assert [row["setting"] for row in found["rows"]] == ["default", "pad"]
    assert found["datasets"][0]["limit"] == 8
    assert found["seeds"] == [0, 1]


def test_a_dry_run_lists_the_runs_and_makes_none(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: Any
) -> None:
    values = ("--pooling", "gap,gem", "--rerank", "none,aqe:n=2,alpha=1,dba", "--scales", "1")
    more = ("--scales", "0.7071,1", "--design", "grid", "--dry-run", "--out", tmp_path / "r")
    assert run_eval("sweep", "--dataset", f"folder={folder}", *values, *more) == 0
    out, err = capsys.readouterr()
    assert err.startswith("12 runs: 12 settings, 1 dataset; 4 embeddings of each image")
    assert len(out.splitlines()) == 12
    assert "folder: gem, scales 0.7071, 1, aqe:n=2,alpha=1  (16 images)" in out
    assert not (tmp_path / "r").exists()
    assert (
        run_eval("sweep", "--dataset", f"folder={folder}", "--crop", "pad", "--dry-run", "--json")
        == 0
    )
    assert json.loads(capsys.readouterr().out)["runs"] == ["folder: default", "folder: pad"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "Name a YAML file"),
        (("--dataset", "folder=/none"), "Name a YAML file"),
        (("--dataset", "folder=/none", "--crop", "pad"), "There is no folder '/none'"),
        (("--dataset", "nothing", "--crop", "pad"), "there is no dataset of that name"),
        (("--dataset", "digits", "--crop", "pda"), "settings.values.crop.0: Input should be"),
        (("--dataset", "digits", "--crop", "pad", "--seeds", "x"), "seeds.0: "),
        (("none.yaml",), "can't be read"),
        (("FILE", "--crop", "pad"), "--crop can't be added"),
        (("FILE",), "datasets: Field required"),
    ],
)
def test_a_fault_is_one_line(
    run_eval: Eval, tmp_path: Path, capsys: Any, arguments: tuple[str, ...], line: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("settings: [{crop: pad}]\n")
    assert run_eval("sweep", *(path if each == "FILE" else each for each in arguments)) == 2
    err = capsys.readouterr().err
    assert line in err
    assert err.count("\n") == 1
