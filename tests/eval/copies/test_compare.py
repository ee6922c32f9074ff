from __future__ import annotations

from pathlib import Path

import pytest

from bogv.copies.thresholds import Thresholds
from eval.copies import decision
from eval.copies.compare import FALSE, RECALLS, compare_copies
from eval.errors import WorkbenchError
from eval.report.document import Report
from eval.report.results import PER_QUERY, write
from tests.eval.support.copies import measured


def written(root: Path, out: Path) -> Path:
    outcome = measured(root, sample=12, edits=["mirror", "jpeg"])
    return write(out, outcome.result, {PER_QUERY: outcome.searches}, Report("Copies", []))


def test_results_are_compared_search_by_search(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = written(photo_folder, tmp_path / "a")
    monkeypatch.setattr(decision, "THRESHOLDS", Thresholds(copy_bits=-1, part_inliers=10_000))
    strict = written(photo_folder, tmp_path / "strict")
    monkeypatch.setattr(decision, "THRESHOLDS", Thresholds(copy_bits=256, part_inliers=0))
    loose = written(photo_folder, tmp_path / "loose")

    assert [each.metric for each in compare_copies(a, [strict], [], 0.0)] == [*RECALLS, *FALSE]
    [recall] = compare_copies(a, [strict], ["recall_copy"], 0.0)
    assert recall.before > 0.5 > recall.after == 0
    assert (recall.difference.units, recall.verdict) == (12, "worse")

    [alarms] = compare_copies(a, [loose], ["false_part_any_label"], 0.0)
    assert (alarms.before, alarms.after, alarms.verdict) == (0, 1, "worse")
    assert alarms.difference.value == -1  # less is better


def test_a_metric_of_a_single_edit_is_rejected(photo_folder: Path, tmp_path: Path) -> None:
    a = written(photo_folder, tmp_path)
    with pytest.raises(WorkbenchError, match="no metric 'recall_copy/jpeg'"):
        compare_copies(a, [a], ["recall_copy/jpeg"], 0.0)
