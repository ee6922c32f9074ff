from __future__ import annotations

from eval.judging.report import judge_report, notes
from eval.report.document import html, markdown
from tests.eval.support.judging import judged_result


def test_the_report_has_weights_metrics_comparisons_and_what_is_missing() -> None:
    result = judged_result()
    text = markdown(judge_report(result))
    assert text.startswith("# mine: judged by eye\n\nWeights: A: UNTRAINED, fingerprint feed; B: ")
    assert "> **UNTRAINED weights" in text
    assert "(B 3)" in text
    assert "precision@2, 95% intervals: A 0.2500" in text
    assert "B against A | precision@2 | -0.1000 | [-0.2000, +0.0000] | 0.2500" in text
    assert "0.2500 to 0.4000" in text
    assert "judge.json" in text
    assert "<img" in html(judge_report(result))


def test_notes_are_given_only_where_there_is_something_to_note() -> None:
    assert len(notes(judged_result())) == 5
    assert notes(judged_result(complete=True)) == []


def test_the_same_result_has_the_same_report() -> None:
    assert html(judge_report(judged_result())) == html(judge_report(judged_result()))
