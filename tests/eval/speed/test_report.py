from __future__ import annotations

from eval.report.document import html, markdown
from eval.speed.report import others_note, speed_report
from tests.eval.support.speed import made


def test_the_report_begins_with_untrained_and_shows_the_goals_reached() -> None:
    report = speed_report(made())
    text = markdown(report)
    first = text.splitlines()[2:5]
    assert "UNTRAINED" in first[0]
    assert "finds only near-duplicates" in first[2]
    assert "| adding | 10 images/s" in text
    assert "| 8 × | ≥ 7 × | reached |" in text
    assert "| 6.500 ms |  | ≤ 5 ms | NOT reached |" in text
    assert "| memory |  | unknown |" in text
    assert "122" in text
    assert "BUSY" not in text
    assert "data:image/png" in html(report)


def test_a_busy_machine_is_reported_in_the_first_lines() -> None:
    lead = speed_report(made(others=0.62)).lead
    assert any("other processes used 62%" in each for each in lead)
    assert others_note(made(others=0.1)) is None
    assert others_note(made(others=None)) is None
