from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eval import __main__ as command_line
from eval.latency.measure import REQUESTS
from tests.eval.support.latency import found


def test_a_url_without_bogv_is_a_clear_error(
    serve: Any, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(found, {"something": "else"})
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["latency", "--target", "http://bogv", "--images", str(pictures)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("eval: The server at http://bogv is unhealthy")


def test_the_token_is_written_nowhere(
    serve: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(found)
    monkeypatch.setenv("TOKEN", "hush-hush")
    arguments = ["latency", "--target", "http://bogv", "--images", str(pictures), "--requests", "3"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*arguments, "--concurrency", "1", "--out", str(tmp_path / "out")])
    assert not stopped.value.code
    assert asked[0].headers["token"] == "hush-hush"
    (run,) = (tmp_path / "out").rglob("run.json")
    assert all(b"hush" not in file.read_bytes() for file in run.parent.rglob("*") if file.is_file())
    assert len(pd.read_parquet(run.parent / REQUESTS)) == 5 * 3


def test_options_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, reason in (
        (["--target", "ftp://x"], "--target is `service` or a URL"),
        (["--target", "http://127.0.0.1:99999"], "Port out of range"),
        (["--target", "http://[::1"], "Invalid IPv6 URL"),
        (["--concurrency", "1,x"], "numbers with commas between"),
        (["--rates", "0"], "numbers above 0"),
    ):
        with pytest.raises(SystemExit) as stopped:
            command_line.main(["latency", *arguments])
        assert stopped.value.code == 2
        assert reason in capsys.readouterr().err
