from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eval.report.document import Figure, markdown
from eval.retrieval.plots import rank_classes
from eval.retrieval.report import run_report
from tests.eval.support.retrieval import DECODER
from tests.eval.support.retrieval_report import blocks, measured
from tests.support.fakes import encoded, picture


def test_many_classes_show_the_best_and_the_worst() -> None:
    labels = [f"c{number:02}" for number in range(30)]
    rows = pd.DataFrame({"label": labels * 2, "map": [number / 29 for number in range(30)] * 2})
    found = rank_classes(rows, "map", 0)
    assert found is not None
    assert [each.name for each in found.best] == labels[:17:-1]
    assert [each.name for each in found.worst] == labels[11::-1]
    assert found.between == pytest.approx([number / 29 for number in range(17, 11, -1)])
    assert found.best[0].queries == 2
    few = rank_classes(rows[rows["label"] < "c05"], "map", 0)
    assert few is not None
    assert ([each.name for each in few.best], few.worst) == (labels[4::-1], [])
    assert rank_classes(rows[rows["label"] == "c00"], "map", 0) is None
    assert rank_classes(rows.assign(label=None), "map", 0) is None


def test_more_classes_than_bars_are_summarised(tmp_path: Path) -> None:
    root = tmp_path / "many"
    for label in range(26):
        (root / f"{label:02}").mkdir(parents=True)
        for quality in (90, 40):
            data = encoded(picture(label, (48, 48)), "JPEG", quality=quality)
            (root / f"{label:02}" / f"{quality}.jpg").write_bytes(data)
    report = run_report(measured(root, tmp_path), DECODER)
    assert "The 12 best and the 12 worst of 26 classes" in markdown(report)
    assert "classes" in [figure.name for figure in blocks(report, Figure)]
