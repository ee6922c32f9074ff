from __future__ import annotations

import pytest

from eval.judging.result import Judged, SettingComparison
from tests.eval.support.judging import judged_result


@pytest.mark.parametrize(
    ("difference", "ci95", "p", "verdict"),
    [
        (0.1, (0.02, 0.18), 0.01, "better"),
        (-0.1, (-0.18, -0.02), 0.05, "worse"),
        (0.1, (0.02, 0.18), 0.06, "undecided"),
        (0.1, (-0.02, 0.22), 0.01, "undecided"),
        (0.1, None, 0.01, "undecided"),
    ],
)
def test_a_verdict_needs_both_the_test_and_the_interval(
    difference: float, ci95: tuple[float, float] | None, p: float, verdict: str
) -> None:
    found = SettingComparison(
        a="A", b="B", metric="map", difference=difference, ci95=ci95, p=p, detectable=None
    )
    assert found.verdict == verdict


def test_a_result_survives_json() -> None:
    result = judged_result()
    assert Judged.model_validate_json(result.model_dump_json()) == result
    assert (result.judged, result.folder, result.FILE) == (9, "score", "judge.json")
    assert result.labels == {"weights": "UNTRAINED custom", "pool": "mine"}
