from __future__ import annotations

from eval.report.document import html, markdown
from eval.speed.report import notes, speed_report
from tests.eval.support.speed import UNMEASURED, made


def test_the_report_begins_with_untrained_and_shows_the_goals_reached() -> None:
    report = speed_report(made())
    text = markdown(report)
    first = text.splitlines()[2:5]
    assert "UNTRAINED" in first[0]
    assert "finds only near-duplicates" in first[2]
    assert "| adding | 10 images/s" in text
    assert "| 8 × | 7.800–8.200 × | ≥ 7 × | reached | 1% |" in text
    assert "| 6.500 ms |  |  | ≤ 5 ms | NOT reached | 1% |" in text
    assert "122" in text
    assert "CAUTION" not in text
    assert "data:image/png" in html(report)


def test_a_busy_machine_is_reported_in_the_first_lines_and_no_goal_is_judged() -> None:
    report = speed_report(made(others=0.62))
    assert any("during 2 of 3 steps, at most 62% (adding)" in each for each in report.lead)
    assert "CAUTION: 1 of 2 goals were not judged." in report.lead
    row = "| ≥ 7 × | not judged: other processes used 62% of the CPU | 62% |"
    assert row in markdown(report)
    assert notes(made(others=0.1)) == []


def test_a_goal_that_can_not_be_measured_is_told() -> None:
    found = made("untrained", 0.0, UNMEASURED)
    assert notes(found) == ["CAUTION: 1 of 3 goals were not judged."]
    assert "| unknown |" in markdown(speed_report(found))


def test_precisions_are_in_one_table_with_the_reason_where_one_is_missing() -> None:
    text = markdown(speed_report(made()))
    assert "| fp32 | openvino cpu f32 | 20 | 19–22 | 55.50 | 1.00000 | 1.00000 | 2% |" in text
    assert "| int8 | missing |" in text
    assert "int8 was not measured: There is no int8 model of these weights yet" in text
    assert "With untrained weights all images have cosines close to 1" in text
    assert "cosines close to 1" not in markdown(speed_report(made("imagenet1k-v1")))


def test_the_images_and_the_share_of_filling_and_draining_are_told() -> None:
    assert "| 640 × 480 | 8 | 1 | 7.0% | 80, 82, 78 |" in markdown(speed_report(made()))


def test_a_percentile_without_an_interval_is_shown_as_such() -> None:
    found = made()
    name = "search_p99_ms@c1"
    bare = found.metrics[name].model_copy(update={"ci95": None, "units": 12})
    changed = found.model_copy(update={"metrics": {**found.metrics, name: bare}})
    assert "| 1 client | 20.2 [19.5, 21.0] | 31.5 (no interval: n = 12) |" in markdown(
        speed_report(changed)
    )
