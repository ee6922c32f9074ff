from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from eval import __main__ as command_line
from eval.commands import robustness as command
from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from eval.retrieval.measure import check_answerable
from tests.support.fakes import fake_embedder, png

Eval = Callable[..., int]


@pytest.fixture
def run_robustness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Eval:
    """The command line with a data folder of its own and the fake embedder; gives the status."""
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(command, "load_embedder", lambda *_: fake_embedder())

    def status(*arguments: str | Path) -> int:
        with pytest.raises(SystemExit) as stopped:
            command_line.main([str(argument) for argument in arguments])
        code = stopped.value.code
        return code if isinstance(code, int) else 1

    return status


def test_the_command_writes_a_result_and_prints_it(
    run_robustness: Eval, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        "--dataset",
        "folder",
        "--root",
        photo_folder,
        "--sample",
        "4",
        "--edits",
        "crop, jpeg",
    )
    assert (
        run_robustness("robustness", *arguments, "--k", "1,3", "--out", tmp_path / "results") == 0
    )
    out, err = capsys.readouterr()
    assert "Searching: 100%" in err
    assert out.startswith("Weights:  custom, fingerprint fake0000\n")
    assert "jpeg         1.00   75 1.00   50 1.00   25 1.00   10 1.00" in out
    written = Path(out.splitlines()[-1])
    run = json.loads((written / "run.json").read_text())
    assert next(iter(run)) == "weights"
    assert (run["kind"], run["n"], run["sample"], run["gallery"]) == ("robustness", 36, 4, 12)
    assert run["edits"]["jpeg"] == ["75", "50", "25", "10"]
    mean = run["metrics"]["hit_rate@1/jpeg:75"]
    assert (mean["value"], mean["ci95"][1], mean["units"]) == (1.0, 1.0, run["sample"])
    assert list(run["metrics"])[:3] == ["hit_rate@1", "hit_rate@3", "mrr"]
    assert run["command"].startswith("python -m eval robustness --dataset folder --root")
    queries = pd.read_parquet(written / "per_query.parquet")
    assert len(queries) == 4 * 10
    first = queries.iloc[1]
    assert (first["edit"], first["strength"], first["top_id"]) == ("crop", "95", first["image"])
    assert (written / "report.html").stat().st_size > 50_000
    assert (written / "figures" / "robustness.png").is_file()
    lines = (written / "summary.csv").read_text().splitlines()
    assert lines[1].startswith("custom,folder,exact,36,hit_rate@1,")
    assert len(lines) == 1 + len(run["metrics"])


def test_json_puts_nothing_else_on_stdout(
    run_robustness: Eval, photo_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        "--dataset",
        "folder",
        "--root",
        photo_folder,
        "--sample",
        "2",
        "--edits",
        "mirror",
    )
    assert run_robustness("robustness", *arguments, "--json", "--out", tmp_path / "results") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "robustness"


def last_line(
    run_robustness: Eval, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> str:
    assert run_robustness("robustness", "--dataset", "folder", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]


def test_an_unknown_edit_is_one_line_and_status_2(
    run_robustness: Eval, photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = last_line(run_robustness, capsys, "--root", photo_folder, "--edits", "crop,zoom")
    assert line.startswith("eval: There is no edit 'zoom'; there are crop, resize, ")


def test_a_single_image_is_not_a_gallery(
    run_robustness: Eval, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes(png(1))
    line = last_line(run_robustness, capsys, "--root", tmp_path / "one")
    assert line == "eval: Dataset folder: 1 image is no gallery to search; there have to be two."


def test_an_image_that_cannot_be_read_is_named(
    run_robustness: Eval, photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photo_folder / "bad.jpg").write_bytes(b"no image")
    line = last_line(run_robustness, capsys, "--root", photo_folder)
    assert "the image 'bad.jpg' can't be used" in line


def test_run_points_to_robustness_where_there_are_no_labels(photo_folder: Path) -> None:
    with pytest.raises(DatasetError, match="`python -m eval robustness` needs no labels"):
        check_answerable(load("folder", photo_folder))


def test_the_command_has_its_help(run_robustness: Eval, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_robustness("robustness", "--help") == 0
    assert "--edits" in capsys.readouterr().out
