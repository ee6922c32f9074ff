"""The intent log names what a process that ended had under way, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.storage.intent_log import AbandonedLog, IntentLog


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pending"


def abandon(folder: Path, owner: str, content: str) -> Path:
    """The log of a process that was killed."""
    path = folder / f"{owner}.ids"
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def ids_in(folder: Path) -> list[int]:
    """What is in the one log."""
    [path] = folder.glob("*.ids")
    return [int(line) for line in path.read_text().split()]


def test_ids_are_in_the_log_while_their_block_runs(folder: Path) -> None:
    log = IntentLog(folder)
    with log.log_intent([1, 2]):
        assert ids_in(folder) == [1, 2]
        with log.log_intent([2, 3]):
            assert ids_in(folder) == [1, 2, 2, 3]
        assert ids_in(folder) == [1, 2]
    assert ids_in(folder) == []
    log.close()
    assert list(folder.iterdir()) == []


def test_ids_of_a_block_that_raises_are_found_after_the_process_has_ended(
    folder: Path,
) -> None:
    log, other = IntentLog(folder), IntentLog(folder)
    with pytest.raises(ZeroDivisionError), log.log_intent([1]):
        _ = 1 / 0
    with log.log_intent([2]):
        pass
    assert list(other.abandoned_logs()) == []
    log.close()  # as the end of its process does
    assert list(other.abandoned_logs()) == [
        AbandonedLog(log.owner, [1], folder / f"{log.owner}.ids")
    ]


def test_without_ids_no_file_is_written(folder: Path) -> None:
    with IntentLog(folder).log_intent([]):
        assert not folder.exists()


def test_duplicates_and_invalid_lines_of_an_abandoned_log_are_ignored(folder: Path) -> None:
    path = abandon(folder, "f00", "3\n1\n3\nx\n-2\n9")
    [abandoned] = IntentLog(folder).abandoned_logs()
    assert abandoned == AbandonedLog("f00", [3, 1, 9], path)


def test_two_processes_do_not_recover_the_same_log(folder: Path) -> None:
    for owner in ("a", "b"):
        abandon(folder, owner, "1\n")
    first, second = IntentLog(folder), IntentLog(folder)
    logs = first.abandoned_logs()
    assert next(logs).owner == "a"
    assert [each.owner for each in second.abandoned_logs()] == ["b"]
    assert next(logs).owner == "b"
    assert [each.owner for each in second.abandoned_logs()] == ["a"]


def test_a_log_removed_by_another_process_is_skipped(folder: Path) -> None:
    paths = [abandon(folder, owner, "1\n") for owner in ("a", "b", "c")]
    logs = IntentLog(folder).abandoned_logs()
    assert next(logs).owner == "a"
    paths[1].unlink()
    assert [each.owner for each in logs] == ["c"]


def test_operations_continue_if_the_log_can_not_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "pending").write_text("a file where the folder would be")
    with IntentLog(tmp_path / "pending").log_intent([1]):
        pass
    assert "can't be written" in caplog.text
