from __future__ import annotations

from eval.report.percentiles import percentile_text


def test_a_percentile_has_its_interval_or_the_reason_why_there_is_none() -> None:
    assert percentile_text(12.34, (11, 14.25), 200) == "12.3 [11.0, 14.2]"
    assert percentile_text(12.34, None, 1200, unit=" ms") == "12.3 ms (no interval: n = 1,200)"
