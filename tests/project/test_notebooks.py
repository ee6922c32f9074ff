"""The notebooks run from top to bottom, on small data, in the interpreter that runs the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import UNTRAINED, Weights
from eval import __main__ as workbench
from eval.commands import run as run_command
from tests.support import models
from tests.support.fakes import FakeEngine, encoded, picture
from tests.support.running import ROOT
from tools.notebooks import FOLDER, NOTEBOOKS, drop_incidentals, execute

NO_RUNS = "runs = []"
SAMPLE, SMALL_SAMPLE = '"--limit", "100"', '"--limit", "30", "--no-losses"'
# Another network takes seconds to convert, which tests of the poolings do.
NETWORK, SAME_NETWORK = '"--pooling", "gem"', '"--crop", "pad"'

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def code_cells(path: Path) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder for both."""
    data = tmp_path_factory.mktemp("notebooks")
    models.lend(data)
    yield data
    models.keep(data)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three runs on four classes of four images, with an engine that is no network."""
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    untrained = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    monkeypatch.setattr(run_command, "load_embedder", lambda *_, **__: untrained)
    images, out = tmp_path / "images", tmp_path / "results"
    for label in range(4):
        (images / str(label)).mkdir(parents=True)
        for quality in (95, 70, 45, 20):
            data = encoded(picture(label), "JPEG", quality=quality)
            (images / str(label) / f"{quality}.jpg").write_bytes(data)
    for settings in ([], ["--crop", "squash"], ["--pooling", "gem"]):
        command = ["run", "--dataset", "folder", "--root", str(images), "--no-losses", *settings]
        with pytest.raises(SystemExit) as stopped:
            workbench.main([*command, "--out", str(out)])
        assert stopped.value.code == 0
    return sorted(out.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def executed(path: Path, data: Path, replaced: dict[str, str]) -> list[Any]:
    """The code cells with what they put out; raises what a cell raises.

    replaced: texts that are in the cells, and what stands in their place.
    """
    notebook = nbformat.read(path, as_version=4)
    whole = "".join(cell.source for cell in notebook.cells)
    assert all(text in whole for text in replaced)
    for cell in notebook.cells:
        for text, other in replaced.items():
            cell.source = cell.source.replace(text, other)
    execute(notebook, data)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cells: list[Any]) -> str:
    """All text that the cells put out, but for errors and progress."""
    outputs = [output for cell in cells for output in cell.outputs]
    streams = [o.text for o in outputs if o.output_type == "stream" and o.name == "stdout"]
    results = [o.data.get("text/plain", "") for o in outputs if "data" in o]
    return "\n".join(streams + results)


def pictures(cells: list[Any]) -> int:
    return sum("image/png" in o.get("data", {}) for cell in cells for o in cell.outputs)


def test_quickstart_adds_searches_and_shows(data: Path) -> None:
    cells = executed(FOLDER / "quickstart.ipynb", data, {})
    text = printed(cells)
    assert "UNTRAINED" in text
    assert "'failed': 0" in text
    assert "1.0000  cat-cropped" in text
    assert "检索图片成功!" in text
    assert pictures(cells) == 1


def check_comparison(cells: list[Any], settings: str) -> None:
    text = printed(cells)
    assert "UNTRAINED" in text
    assert re.search(r"hit_rate@1: B is (not )?(shown to be )?worse than A\. B - A = [+-]0", text)
    assert f"{settings}, tta none, post none: hit_rate@1 " in text
    assert pictures(cells) == 3


def test_compare_settings_gives_a_verdict_on_runs_that_are_named(
    runs: list[Path], tmp_path: Path
) -> None:
    named = f"from pathlib import Path; runs = [Path(each) for each in {[*map(str, runs)]}]"
    cells = executed(FOLDER / "compare_settings.ipynb", tmp_path, {NO_RUNS: named})
    check_comparison(cells, "gem, 224 px, center")


@pytest.mark.soak
def test_compare_settings_makes_three_runs_and_gives_a_verdict(data: Path) -> None:
    replaced = {SAMPLE: SMALL_SAMPLE, NETWORK: SAME_NETWORK}
    cells = executed(FOLDER / "compare_settings.ipynb", data, replaced)
    check_comparison(cells, "gap, 224 px, pad")
    tags = {path.parent.name for path in (data / "compare_settings").glob("*/report.html")}
    assert len(tags) == 3
    assert [sum(f"-{tag}-" in name for name in tags) for tag in ("squash", "pad")] == [1, 1]


@each_notebook
def test_a_notebook_is_committed_with_its_pictures_and_small(path: Path) -> None:
    assert path.stat().st_size <= 300_000
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    assert pictures(cells) >= 1
    assert "UNTRAINED" in printed(cells)
    text = path.read_text("utf-8")
    assert "**untrained** weights" in text
    # Nothing of the machine, but for the temporary folder of quickstart's own gallery.
    assert not re.search(r"/(?:home|root|Users|work)/|/tmp/(?!bogv-quickstart-)", text)


@each_notebook
def test_a_notebook_is_committed_without_what_differs_from_run_to_run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cleaned = nbformat.read(path, as_version=4)
    drop_incidentals(cleaned)
    assert cleaned == notebook
    assert all(
        output.get("name") != "stderr" for cell in code_cells(path) for output in cell.outputs
    )


@each_notebook
def test_a_notebook_defines_nothing_of_its_own(path: Path) -> None:
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    for cell in code_cells(path):
        tree = compile(
            cell.source, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        assert not [node for node in ast.walk(tree) if isinstance(node, definitions)]


@each_notebook
def test_a_notebook_says_in_both_languages_what_it_is_for(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    headline = first.source.splitlines()[0]
    assert headline.startswith("# ")
    assert headline[2].isascii()
    assert any("\u4e00" <= character <= "\u9fff" for character in headline)


def test_there_are_the_notebooks_that_the_readme_names() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for path in NOTEBOOKS:
        assert f"notebooks/{path.name}" in readme
    assert len(NOTEBOOKS) == 2
