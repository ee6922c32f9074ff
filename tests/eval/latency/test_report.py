from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from eval.latency.measure import REQUESTS, requests_table
from eval.latency.report import latency_report, others_note
from eval.latency.result import Latency, LoadStep
from eval.report.document import markdown
from eval.report.results import write
from tests.eval.support.latency import found, measured


def test_the_report_begins_with_the_weights_and_has_its_plots(
    serve: Any, pictures: Path, tmp_path: Path
) -> None:
    serve(found)
    outcome = measured(pictures)
    table = requests_table(outcome.sent)
    report = latency_report(outcome.latency, table)
    lines = markdown(report).splitlines()
    assert lines[2] == f"Weights: UNTRAINED, fingerprint {'f' * 12}."
    assert "UNTRAINED weights" in lines[4]
    folder = write(tmp_path / "out", outcome.latency, {REQUESTS: table}, report)
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        *("knee", "latency-closed", "latency-open", "stages")
    }
    again = Latency.model_validate_json((folder / "run.json").read_bytes())
    assert again == outcome.latency
    assert len(pd.read_parquet(folder / REQUESTS)) == 36
    assert json.loads((folder / "run.json").read_text())["metrics"]["latency_p50_ms@c1"]


def test_a_busy_generator_is_reported(serve: Any, pictures: Path) -> None:
    serve(found)
    outcome = measured(pictures)
    busy = outcome.latency.steps[1]
    busy = busy.model_copy(
        update={"measured": busy.measured.model_copy(update={"generator_cpu": 0.97, "n": 3})}
    )
    changed: list[LoadStep] = [busy if s.label == busy.label else s for s in outcome.latency.steps]
    latency = outcome.latency.model_copy(update={"steps": changed})
    text = markdown(latency_report(latency, requests_table(outcome.sent)))
    assert "No: it was late or near its limit at " in text
    assert "with fewer requests: 2." in text


def test_a_busy_machine_is_reported_for_each_step(serve: Any, pictures: Path) -> None:
    serve(found)
    outcome = measured(pictures)
    steps = [
        step.model_copy(update={"measured": step.measured.model_copy(update={"others": share})})
        for step, share in zip(outcome.latency.steps, (0.37, 0.1, *[0.0] * 4), strict=True)
    ]
    latency = outcome.latency.model_copy(update={"steps": steps})
    text = markdown(latency_report(latency, requests_table(outcome.sent)))
    assert "during 1 of 6 steps, at most 37% (1 caller)" in text
    assert "A server that runs on this machine is one of them." in text
    assert "| 37% |" in text
    quiet = latency.model_copy(update={"steps": steps[1:], "target": "service"})
    assert others_note(quiet) is None


def test_a_percentile_without_an_interval_is_shown_as_such(serve: Any, pictures: Path) -> None:
    serve(found)
    outcome = measured(pictures)
    name = "latency_p99.9_ms@c1"
    bare = outcome.latency.metrics[name].model_copy(update={"value": 12.3, "ci95": None})
    latency = outcome.latency.model_copy(
        update={"metrics": {**outcome.latency.metrics, name: bare}}
    )
    assert "| 12.3 (no interval: n = 6) |" in markdown(
        latency_report(latency, requests_table(outcome.sent))
    )
