"""Imports within eval point one way, and bogv knows nothing of eval."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    {"errors", "metrics", "statistics", "vectors"},
    {"data", "report", "harness"},
    {"embedding", "ann", "latency", "speed", "scale"},
    {"retrieval"},
    {"robustness"},
    {"selftest"},
    {"commands"},
    {"__main__"},
)
"""A part of eval imports from itself and from what stands in a line above it."""
WITHOUT_DATASETS = {"ann", "latency", "speed", "scale"}


def imports(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def parts(part: str) -> set[str]:
    """The parts of eval that a part of it imports, without itself."""
    paths = [ROOT / "eval" / f"{part}.py", *(ROOT / "eval" / part).rglob("*.py")]
    names = [name for path in paths if path.is_file() for name in imports(path)]
    return {name.split(".")[1] for name in names if name.startswith("eval.")} - {part}


def test_every_part_of_eval_has_a_layer() -> None:
    there = {path.stem for path in (ROOT / "eval").iterdir() if path.suffix == ".py"}
    there |= {path.parent.name for path in (ROOT / "eval").glob("*/__init__.py")}
    assert there - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_imports_point_to_lower_layers(layer: int) -> None:
    below: set[str] = set().union(*LAYERS[:layer])
    assert {part: parts(part) - below for part in LAYERS[layer] if parts(part) - below} == {}


@pytest.mark.parametrize("part", sorted(WITHOUT_DATASETS))
def test_parts_without_datasets_do_not_import_dataset_modules(part: str) -> None:
    assert not parts(part) & {"data", "embedding", "retrieval"}


def test_bogv_never_imports_eval() -> None:
    names = {name for path in (ROOT / "bogv").rglob("*.py") for name in imports(path)}
    assert not [name for name in names if name.split(".")[0] == "eval"]
