from __future__ import annotations

from eval.report.document import html, markdown
from eval.scale.report import _table, scale_report
from tests.eval.support.scale import made


def test_the_report_has_all_figures_and_states_that_no_weights_were_used() -> None:
    report = scale_report(made())
    text = markdown(report)
    assert "The vectors are synthetic" in text.splitlines()[2]
    assert "during 2 of 8 steps, at most 40% (adding, 1,000 rows)" in text
    assert "| 40%, 2%, ?, 2% |" in text
    assert "| 7.2 [4.0, 9.5] |" in text
    assert "0.8750" in text
    assert "0.9980" in text
    assert "| 200 |" in text  # disk
    assert "data:image/png" in html(report)


def test_a_server_keeps_its_memory_and_disk_to_itself() -> None:
    rows = _table(made(lite=False)).rows
    assert [row[9:11] for row in rows] == [["", ""], ["", ""]]


def test_a_percentile_without_an_interval_is_shown_as_such() -> None:
    found = made()
    name = "search_p99_ms@1000"
    bare = found.metrics[name].model_copy(update={"ci95": None, "units": 9})
    changed = found.model_copy(update={"metrics": {**found.metrics, name: bare}})
    assert "| 7.2 (no interval: n = 9) |" in markdown(scale_report(changed))
