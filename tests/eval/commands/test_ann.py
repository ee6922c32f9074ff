from __future__ import annotations

from pathlib import Path

import pytest

from eval import __main__ as command_line
from eval.ann.result import Ann


def test_the_command_measures_and_prints_only_json(
    tmp_path: Path,
    in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path))
    arguments = ["ann", "--vectors", "60", "--dimension", "16", "--clusters", "3", "--queries", "5"]
    arguments += ["--k", "3", "--index", "FLAT", "--out", str(tmp_path / "out"), "--json"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main(arguments)
    assert not stopped.value.code
    told = Ann.model_validate_json(capsys.readouterr().out)
    assert [point.index for point in told.points] == ["HNSW"] * 3 + ["FLAT"]
    assert told.vectors.parameters == {"clusters": 3, "spread": 1.25, "rank": 32, "noise": 0.25}
    assert (tmp_path / "out" / told.folder / "run.json").exists()


def test_a_datasets_embeddings_can_be_searched(
    tmp_path: Path,
    in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from eval.commands import ann as ann_command
    from tests.support.fakes import fake_embedder, png

    for number in range(8):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{number}.png").write_bytes(png(number))
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(ann_command, "load_embedder", lambda *_: fake_embedder())
    arguments = ["ann", "--dataset", "folder", "--root", str(tmp_path / "mine"), "--index", "FLAT"]
    arguments += ["--k", "2", "--out", str(tmp_path / "out"), "--weights", "untrained"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*arguments, "--queries", "3", "--json"])
    assert not stopped.value.code
    told = Ann.model_validate_json(capsys.readouterr().out)
    assert (told.vectors.source, told.vectors.gallery, told.n) == ("folder", 5, 3)
    assert told.weights is not None
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*arguments, "--queries", "8"])
    assert stopped.value.code == 2
    assert "8 queries can't be held out of 8 images" in capsys.readouterr().err
