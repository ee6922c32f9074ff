from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval import __main__ as command_line
from eval.report.document import Report
from eval.scale.measure import ScaleOptions
from eval.scale.result import Scale
from tests.eval.support.scale import made


def test_the_command_prints_json_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eval.commands import scale as command

    asked: list[ScaleOptions] = []

    def measured(options: ScaleOptions) -> Scale:
        asked.append(options)
        return made()

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr(command, "scale_report", lambda _: Report("Scale", []))  # drawing is slow
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["scale", "--rows", "1000,10000", "--out", str(tmp_path), "--json"])
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)["points"][1]["rows"] == 10_000
    assert asked[0].rows == [1000, 10_000]
    assert asked[0].lite
    [folder] = tmp_path.iterdir()
    assert {"run.json", "points.parquet", "report.md", "report.html", "summary.csv"} <= {
        path.name for path in folder.iterdir()
    }


@pytest.mark.parametrize(("rows", "why"), [("many", "1000,10000"), ("1" + 29 * "0", "at most")])
def test_rows_that_are_no_numbers_or_too_many_are_refused(
    capsys: pytest.CaptureFixture[str], rows: str, why: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["scale", "--rows", rows])
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err
