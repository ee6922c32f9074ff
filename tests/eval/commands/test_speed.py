from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval import __main__ as command_line
from eval.speed.result import Speed
from tests.eval.support.speed import made


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_every_line_and_exits_with_0_whatever_is_reached(
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from eval.commands import speed as command

    monkeypatch.setattr(command, "measure", lambda _: made())
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["speed", "--out", str(tmp_path), *(["--json"] if as_json else [])])
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert "UNTRAINED" in err
    if as_json:
        assert Speed.model_validate(json.loads(out)) == made()
    else:
        assert out.startswith("Weights:  UNTRAINED")
        assert "to reach ≥ 7 ×: reached" in out
        assert "to reach ≤ 5 ms: NOT reached" in out
    [folder] = tmp_path.iterdir()
    assert (folder / "report.html").exists()
    assert Speed.model_validate_json((folder / "run.json").read_bytes()) == made()
