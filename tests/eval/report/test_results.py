from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import UNTRAINED, Weights
from eval.errors import WorkbenchError
from eval.report.results import PER_QUERY, Mean, percentile_text, write
from eval.retrieval.measure import RetrievalOptions, measure
from eval.retrieval.report import run_report
from eval.retrieval.result import query_table
from tests.eval.support.retrieval import DECODER, measured
from tests.support.fakes import FakeEngine


def test_every_line_of_the_summary_has_the_runs_labels(folder: Path, tmp_path: Path) -> None:
    embedder = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    options = RetrievalOptions("folder", folder, progress=False)
    outcome = measure(options, embedder, DECODER, tmp_path / "cache")
    written = write(
        tmp_path,
        outcome.run,
        {PER_QUERY: query_table(outcome.query_results)},
        run_report(outcome, DECODER),
    )
    rows = list(csv.DictReader((written / "summary.csv").read_text().splitlines()))
    assert {(row["weights"], row["dataset"], row["queries"]) for row in rows} == {
        ("UNTRAINED", "folder", "16")
    }
    assert [row["metric"] for row in rows] == list(outcome.run.metrics)
    assert next(iter(json.loads((written / "run.json").read_text()))) == "weights"
    assert "UNTRAINED" in (written / "run.json").read_text()[:200]


def test_results_that_cannot_be_written_are_an_error(folder: Path, tmp_path: Path) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkbenchError, match="The results can't be written"):
        write(
            tmp_path / "file",
            outcome.run,
            {PER_QUERY: query_table(outcome.query_results)},
            run_report(outcome, DECODER),
        )


def test_a_percentile_has_its_interval_or_says_why_not() -> None:
    assert percentile_text(Mean(value=12.34, ci95=(11, 14.25))) == "12.3 [11.0, 14.2]"
    without = Mean(value=12.34, ci95=None, units=1200)
    assert percentile_text(without, unit=" ms") == "12.3 ms (no interval: n = 1,200)"
