from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from eval.ann.report import ann_report, others_note, pareto
from eval.ann.result import POINTS, Ann, points_table
from eval.report.document import html, markdown
from eval.report.results import write


def test_the_frontier_has_the_pareto_optimal_points() -> None:
    points = [(0.9, 100.0), (0.8, 50.0), (1.0, 20.0), (0.9, 90.0), (0.5, 300.0), (1.0, 20.0)]
    assert pareto(points) == [4, 0, 2]


def test_a_result_is_written_with_its_points_and_its_report(found: Ann, tmp_path: Path) -> None:
    table = points_table(found)
    folder = write(tmp_path, found, {POINTS: table}, ann_report(found))
    assert json.loads((folder / "run.json").read_text())["kind"] == "ann"
    rows = pd.read_parquet(folder / POINTS)
    assert rows["label"].tolist() == [point.label for point in found.points]
    assert rows["search_nprobe"].tolist()[2:] == [1, 6]
    assert {path.name for path in (folder / "figures").iterdir()} >= {
        "frontier.png",
        "build-time.png",
    }
    assert "ann_recall@5" in (folder / "summary.csv").read_text()


def test_the_report_begins_with_the_source_of_the_vectors(found: Ann) -> None:
    lines = markdown(ann_report(found)).splitlines()
    assert lines[2].startswith("Weights: none took part. The vectors are synthetic")
    assert "bogv's own index, HNSW M 16" in lines[4]
    assert "with the Pareto frontier." in html(ann_report(found))


def test_without_memory_figures_there_is_no_memory_plot(found: Ann) -> None:
    points = [
        point.model_copy(update={"cost": point.cost.model_copy(update={"memory_mib": None})})
        for point in found.points
    ]
    report = markdown(ann_report(found.model_copy(update={"points": points})))
    assert "memory.png" not in report
    assert "Its memory can't be measured here." in report


def test_a_busy_machine_is_reported_for_each_build_and_search(found: Ann) -> None:
    quiet = [
        point.model_copy(
            update={"cost": point.cost.model_copy(update={"others": 0.0, "build_others": 0.1})}
        )
        for point in found.points
    ]
    cost = quiet[1].cost.model_copy(update={"others": 0.28})
    busy = [quiet[0], quiet[1].model_copy(update={"cost": cost}), *quiet[2:]]
    assert others_note(found.model_copy(update={"points": quiet})) is None
    text = markdown(ann_report(found.model_copy(update={"points": busy})))
    assert "during 1 of 7 steps, at most 28% (searching FLAT)" in text
    assert "| 28% | 10% |" in text


def test_a_recall_without_an_interval_is_shown_as_such(found: Ann) -> None:
    name = f"ann_recall@{found.k}"
    bare = found.own.metrics[name].model_copy(update={"ci95": None})
    own = found.own.model_copy(update={"metrics": {**found.own.metrics, name: bare}})
    ann = found.model_copy(update={"points": [own, *found.points[1:]]})
    assert "(no interval: n = 12)" in markdown(ann_report(ann))
    assert pd.isna(points_table(ann)[f"{name}_low"][0])
