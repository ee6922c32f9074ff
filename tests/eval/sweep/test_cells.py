from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import resolve
from eval import __main__ as command_line
from eval.commands import run as run_command
from eval.report.machine import describe_environment
from eval.retrieval.result import read_run
from eval.sweep import cells
from eval.sweep.cells import Cell, CellRunner, digest_of
from tests.eval.support.sweep import make_loading, make_plan
from tests.support.fakes import FakeEngine

SETTINGS = [{"crop": "pad", "post": "pca:3", "scales": [0.7071, 1], "rerank": "aqe:n=2,alpha=1"}]


def run_cell(root: Path, folder: Path, settings: Any = SETTINGS, **more: Any) -> Cell:
    task = make_plan(root, settings, **more).tasks[-1]
    return runner(root, folder).run(task)


def runner(root: Path, folder: Path) -> CellRunner:
    loading = make_loading(folder)
    return CellRunner(
        loading, folder / "out", folder / "cache", (1, 5), {"folder": root}, progress=False
    )


def test_the_command_in_a_cell_makes_the_same_run_by_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: None
) -> None:
    cell = run_cell(root, tmp_path, limit=12, seeds=[2])
    assert cell.run is not None
    before = (tmp_path / "out" / cell.folder / "per_query.parquet").read_bytes()
    untrained = Embedder(resolve("untrained"), FakeEngine())
    monkeypatch.setattr(run_command, "load_embedder", lambda *_: untrained)
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    words = shlex.split(cell.run.command)
    assert words[:4] == ["python", "-m", "eval", "run"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main(words[3:])
    assert stopped.value.code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == [cell.folder]
    assert (tmp_path / "out" / cell.folder / "per_query.parquet").read_bytes() == before


def test_a_damaged_cell_is_run_again(root: Path, tmp_path: Path, networks: None) -> None:
    cell = run_cell(root, tmp_path)
    assert not cell.found
    assert run_cell(root, tmp_path).found
    table = tmp_path / "out" / cell.folder / "per_query.parquet"
    table.write_bytes(b"torn")
    again = run_cell(root, tmp_path)
    assert not again.found
    assert again.folder == cell.folder
    assert cell.run is not None
    assert read_run(table.parent)[0].headline == cell.run.headline


@pytest.mark.parametrize("what", ["revision", "canonical", "image"])
def test_a_cell_of_other_code_or_images_is_not_taken(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: None, what: str
) -> None:
    images = tmp_path / "images"
    for path in root.rglob("*.jpg"):
        (images / path.parent.name).mkdir(parents=True, exist_ok=True)
        (images / path.parent.name / path.name).write_bytes(path.read_bytes())
    task = make_plan(images, [{}]).tasks[0]
    assert not runner(images, tmp_path).run(task).found
    if what == "revision":
        environment = describe_environment()
        monkeypatch.setattr(
            cells, "describe_environment", lambda: {**environment, "revision": "another"}
        )
    elif what == "canonical":
        monkeypatch.setattr(cells, "canonical_of", lambda *_: "another")
    else:
        first = next(images.rglob("*.jpg"))
        first.write_bytes(first.read_bytes() + b"\0")
        task = make_plan(images, [{}]).tasks[0]
    found = runner(images, tmp_path)
    assert found._find(task, found.loading.embedder("auto", task.settings.embedding)) is None


def test_a_cell_that_fails_has_its_reason_in_one_line(
    root: Path, tmp_path: Path, networks: None
) -> None:
    cell = run_cell(root, tmp_path, [{"post": "pca:2000"}])
    assert cell.run is None
    assert "--post asks for 2,000 dimensions" in cell.error
    assert "\n" not in cell.error


def test_what_pca_is_fitted_on_may_be_another_dataset_of_the_sweep(
    root: Path, tmp_path: Path, networks: None
) -> None:
    task = make_plan(root, [{"post": "pca:3", "fit_on": "folder"}]).tasks[-1]
    cell = runner(root, tmp_path).run(task)
    assert "all of its 16 images are queries of the evaluated dataset" in cell.error
    assert f"--fit-on folder:{root}" in cells.run_command(task, runner(root, tmp_path))


def test_the_digest_is_the_runs(root: Path, tmp_path: Path, networks: None) -> None:
    task = make_plan(root, [{}]).tasks[0]
    cell = runner(root, tmp_path).run(task)
    assert cell.run is not None
    assert cell.run.dataset.digest == task.digest == digest_of(task.dataset)
