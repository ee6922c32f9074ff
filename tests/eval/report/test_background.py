from __future__ import annotations

from eval.report.background import busy_note, largest, share_text


def test_a_busy_machine_is_reported_with_the_worst_step() -> None:
    note = busy_note({"c1": 0.23, "c2": 0.1, "open50%": 0.62, "c4": None})
    assert note is not None
    assert note.startswith("CAUTION")
    assert "more than 10% of its CPU time during 2 of 4 steps, at most 62% (open50%)" in note


def test_a_quiet_machine_needs_no_note() -> None:
    assert busy_note({"c1": 0.1, "c2": None}) is None


def test_a_load_that_is_not_known_is_told_and_is_no_zero() -> None:
    assert busy_note({"c1": None}) == "How busy other processes kept the machine is not known."
    assert share_text(None) == ""
    assert share_text(0.0) == "0%"
    assert largest([None, 0.2, 0.1]) == 0.2
    assert largest([None]) is None
