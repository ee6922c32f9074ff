from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval import __main__ as command_line
from eval.report.document import Report
from eval.speed.result import Speed
from eval.speed.setting import SpeedOptions
from tests.eval.support.speed import made


@pytest.mark.parametrize(("as_json", "others", "status"), [(True, 0.01, 0), (False, 0.23, 3)])
def test_the_command_prints_every_line_and_exits_with_3_if_a_goal_is_not_judged(
    as_json: bool,
    others: float,
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from eval.commands import speed as command

    monkeypatch.setattr(command, "measure", lambda _: made(others=others))
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["speed", "--out", str(tmp_path), *(["--json"] if as_json else [])])
    assert stopped.value.code == status
    out, err = capsys.readouterr()
    assert "UNTRAINED" in err
    if as_json:
        assert Speed.model_validate(json.loads(out)) == made(others=others)
    else:
        assert out.startswith("Weights:  UNTRAINED")
        assert "to reach ≥ 7 ×: not judged: other processes used 23% of the CPU" in out
        assert "to reach ≤ 5 ms: NOT reached" in out
    [folder] = tmp_path.iterdir()
    assert (folder / "report.html").exists()
    assert Speed.model_validate_json((folder / "run.json").read_bytes()) == made(others=others)


@pytest.mark.parametrize(
    ("given", "whole", "compared"),
    [
        ([], "auto", ["fp32", "bf16", "int8"]),
        (["int8"], "int8", ["int8"]),
        (["bf16", "fp32"], "bf16", ["bf16", "fp32"]),
        (["auto", "fp32"], "auto", ["fp32"]),
    ],
)
def test_the_first_precision_is_measured_whole_and_all_are_compared(
    given: list[str],
    whole: str,
    compared: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from eval.commands import speed as command

    asked: list[SpeedOptions] = []

    def measured(options: SpeedOptions) -> Speed:
        asked.append(options)
        return made()

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr(command, "speed_report", lambda _: Report("Speed", []))  # drawing is slow
    options = [part for each in given for part in ("--precision", each)]
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["speed", "--out", str(tmp_path), "--json", *options])
    assert stopped.value.code == 0
    assert (asked[0].precision, list(asked[0].compared)) == (whole, compared)


def test_a_precision_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["speed", "--precision", "fp8"])
    assert stopped.value.code == 2
    assert "auto, fp32, bf16, int8" in capsys.readouterr().err
