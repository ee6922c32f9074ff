from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.copies.goals import GOALS
from eval.copies.report import copies_report, share, verdict
from eval.copies.result import Copies
from eval.report.results import Mean
from tests.eval.support.copies import measured
from tests.eval.support.retrieval import DECODER


def test_the_report_has_every_edit_every_method_and_the_failures(photo_folder: Path) -> None:
    outcome = measured(photo_folder, sample=2, edits=["mirror", "screenshot"])
    report = copies_report(outcome, DECODER)
    tables: dict[str, Any] = {
        section.title: section.blocks[0] for section in report.sections if section.blocks
    }
    assert [row[0] for row in tables["Is the original found?"].rows] == [
        *("all edits", "none", "mirror", "· horizontal", "· vertical"),
        *("screenshot", "· 70", "· 50", "· 30"),
    ]
    assert len(tables["The methods compared"].rows) == 5
    assert [row[0] for row in tables["Searches for what isn't there"].rows] == [
        *("exact", "copy", "part", "part any label"),
    ]
    missed = next(section for section in report.sections if section.title == "Missed")
    strips: Any = missed.blocks[1:]
    assert [tile.mark for tile in strips[0].tiles] == ["query", "right"]


@pytest.mark.parametrize(
    ("value", "upper", "absent", "said"),
    [
        (0.0, 0.002, 2000, "reached"),
        (0.002, 0.003, 2000, "not reached"),
        (0.0, 0.004, 2000, "not shown: the interval ends above 0.3%"),
        (0.0, 0.002, 1999, "too few searches: 1,999"),
    ],
)
def test_a_goal_of_false_alarms_needs_searches_and_a_narrow_interval(
    value: float, upper: float, absent: int, said: str
) -> None:
    goal = next(goal for goal in GOALS if goal.name == "false_copy")
    mean = Mean(value=value, ci95=(0.0, upper))
    fields: dict[str, Any] = {"metrics": {goal.name: mean}, "absent": absent}
    result = Copies.model_construct(**fields)
    assert verdict(goal, result) == said


def test_a_share_has_its_interval() -> None:
    assert share(Mean(value=0.931, ci95=(0.9, 0.953))) == "93.1% (90.0% to 95.3%)"
