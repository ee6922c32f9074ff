from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval import __main__ as command_line
from eval.errors import WorkbenchError
from eval.harness.galleries import GalleryLocation
from eval.harness.synthetic import Clustered
from eval.report.document import Report, html, markdown
from eval.scale import measure as scaling
from eval.scale import worker as scale_worker
from eval.scale.measure import ScaleOptions, measure
from eval.scale.report import _table, scale_report
from eval.scale.result import Scale, ScalePoint, SearchFigures
from eval.vectors import nearest_neighbours

DISTRIBUTION = Clustered(dimension=16, clusters=4)
OPTIONS = ScaleOptions(rows=[300, 40], queries=6, k=5, dimension=16, warm_up=1, progress=False)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of their own take seconds to start."""

    def directly(work: Callable[..., Any], *arguments: object) -> Any:
        return work(*arguments)

    monkeypatch.setattr(scaling, "run_in_process", directly)


@pytest.fixture
def location(tmp_path: Path) -> GalleryLocation:
    location = GalleryLocation(tmp_path, "scale", lite=True)
    np.save(location.gallery, next(DISTRIBUTION.gallery(1200, 1200)))
    np.save(location.queries, DISTRIBUTION.queries(7))
    return location


def test_a_gallery_is_searched_until_all_its_rows_are_indexed(location: GalleryLocation) -> None:
    filled = scale_worker.fill(location, k=3)
    assert filled.put_seconds > 0
    assert filled.build_seconds > 0
    meanwhile = filled.meanwhile
    assert len(meanwhile.queries) == len(meanwhile.found) == len(meanwhile.seconds) >= 1
    assert all(len(found) == 3 for found in meanwhile.found)
    # Milvus Lite keeps an index beside each file of rows.
    rows = {path.stem for path in location.folder.rglob("*.parquet")}
    indexed = {path.name.partition(".")[0] for path in location.folder.rglob("*.idx")}
    assert rows
    assert rows <= indexed


def test_a_gallery_is_found_again(location: GalleryLocation) -> None:
    scale_worker.fill(location, k=3)
    again = scale_worker.reopen(location, k=3, warm_up=100)
    assert again.asked.queries == list(range(7))
    assert again.restart_seconds > 0


def test_what_is_measured_is_true(in_this_process: None) -> None:
    found = measure(OPTIONS)
    assert [point.rows for point in found.points] == [40, 300]
    for point in found.points:
        # So few rows are searched as good as exactly.
        assert point.built.ann_recall == 1
        assert point.building.ann_recall == 1
        assert point.built.queries == 6
        assert point.disk_mib is not None
        assert point.disk_mib > point.rows * 16 * 4 / 2**20
    assert found.metrics["ann_recall@5@300"].value == 1
    assert found.weights is None
    assert Scale.model_validate_json(found.model_dump_json()) == found


def test_recall_is_of_the_query_that_was_asked() -> None:
    exact = nearest_neighbours(DISTRIBUTION.gallery(50, 50), DISTRIBUTION.queries(3), 2)
    right = exact.rows[2].tolist()
    asked = scale_worker.TimedQueries([2, 2], [right, [right[0], 99]], [0.1, 0.1])
    assert scaling._recalls(asked, exact) == [1, 0.5]


def test_fewer_rows_than_neighbours_are_refused() -> None:
    with pytest.raises(WorkbenchError, match="at least k = 5"):
        measure(replace(OPTIONS, rows=[4, 300]))


def made(*, lite: bool = True) -> Scale:
    searched = SearchFigures(queries=9, p50_ms=4.5, p99_ms=7.25, ann_recall=0.998)
    points = [
        ScalePoint(
            rows=rows,
            add_rate=2000,
            build_seconds=rows / 1000,
            building=searched.model_copy(update={"ann_recall": 0.875}),
            built=searched,
            restart_seconds=0.5,
            memory_mib=rows / 100 if lite else None,
            disk_mib=rows / 50 if lite else None,
        )
        for rows in (1000, 10_000)
    ]
    return Scale(
        weights=None,
        command="python -m eval scale",
        n=9,
        seed=0,
        metrics={"ann_recall@10@1000": {"value": 0.998, "ci95": (0.99, 1)}},
        revision=None,
        machine={"processor": "abacus", "cores": 2},
        packages={},
        seconds={},
        database="Milvus Lite" if lite else "Milvus server",
        dimension=2048,
        k=10,
        others=0.4,
        points=points,
    )


def test_the_report_has_every_figure_and_says_that_no_weights_took_part() -> None:
    report = scale_report(made())
    text = markdown(report)
    assert "The vectors are synthetic" in text.splitlines()[2]
    assert "others had 40%" in text
    assert "0.8750" in text
    assert "0.9980" in text
    assert "| 200 |" in text  # disk
    assert "data:image/png" in html(report)


def test_a_server_keeps_its_memory_and_disk_to_itself() -> None:
    rows = _table(made(lite=False)).rows
    assert [row[9:11] for row in rows] == [["", ""], ["", ""]]


def test_the_command_prints_json_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from eval.commands import scale as command

    asked: list[ScaleOptions] = []

    def measured(options: ScaleOptions) -> Scale:
        asked.append(options)
        return made()

    monkeypatch.setattr(command, "measure", measured)
    monkeypatch.setattr(command, "scale_report", lambda _: Report("Scale", []))  # drawing is slow
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["scale", "--rows", "1000,10000", "--out", str(tmp_path), "--json"])
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)["points"][1]["rows"] == 10_000
    assert asked[0].rows == [1000, 10_000]
    assert asked[0].lite
    [folder] = tmp_path.iterdir()
    assert {"run.json", "points.parquet", "report.md", "report.html", "summary.csv"} <= {
        path.name for path in folder.iterdir()
    }


def test_rows_that_are_no_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["scale", "--rows", "many"])
    assert stopped.value.code == 2
    assert "1000,10000" in capsys.readouterr().err
