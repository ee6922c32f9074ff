from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eval.errors import WorkbenchError
from eval.history.store import HISTORY, add_runs, read_history
from tests.eval.support.history import written_run


def test_an_entry_has_what_the_run_was_measured_on_and_with(tmp_path: Path) -> None:
    folder = written_run(tmp_path, revision="abc", value=0.5)
    os.utime(folder / "run.json", (0, 86_400))
    [entry] = add_runs(tmp_path / "history", [folder])
    assert read_history(tmp_path / "history") == [entry]
    assert entry.date == "1970-01-02T00:00:00+00:00"
    assert (entry.revision, entry.dataset, entry.headline) == ("abc", "folder", "hit_rate@1")
    assert entry.metrics["hit_rate@1"].value == 0.5
    assert (entry.weights.fingerprint, entry.settings, entry.backend) == ("feed", "", "exact")


def test_adding_the_same_run_twice_changes_nothing(tmp_path: Path) -> None:
    history, run = tmp_path / "history", written_run(tmp_path, revision="abc", value=0.5)
    assert len(add_runs(history, [run, run / "run.json"])) == 1
    before = (history / HISTORY).read_bytes()
    os.utime(run / "run.json", (0, 5))
    assert add_runs(history, [run]) == []
    assert (history / HISTORY).read_bytes() == before


def test_what_is_there_stays_and_the_new_comes_after_it(tmp_path: Path) -> None:
    history = tmp_path / "history"
    add_runs(history, [written_run(tmp_path, revision="one", value=0.5)])
    before = (history / HISTORY).read_bytes()
    add_runs(history, [written_run(tmp_path, revision="two", value=0.5)])
    after = (history / HISTORY).read_bytes()
    assert after.startswith(before)
    assert [entry.revision for entry in read_history(history)] == ["one", "two"]


def test_with_an_error_none_is_added(tmp_path: Path) -> None:
    good = written_run(tmp_path, revision="one", value=0.5)
    with pytest.raises(WorkbenchError, match="no complete result"):
        add_runs(tmp_path / "history", [good, tmp_path / "nowhere"])
    assert not (tmp_path / "history").exists()


def test_those_that_add_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    runs = [written_run(tmp_path, revision=f"r{n}", value=0.5) for n in range(12)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda run: add_runs(tmp_path / "history", [run]), runs))
    entries = read_history(tmp_path / "history")
    assert {entry.revision for entry in entries} == {f"r{n}" for n in range(12)}
    assert [path.name for path in (tmp_path / "history").iterdir()] == [HISTORY]


@pytest.mark.parametrize("text", ["{}\n", "no json\n", '{"date": 1}\n'])
def test_a_broken_line_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / HISTORY).write_text(text)
    with pytest.raises(WorkbenchError, match="line 1 is no entry of a history"):
        read_history(tmp_path)


def test_a_folder_without_a_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="There is no history in"):
        read_history(tmp_path)
