"""Imports point one way, vendors stay in their modules, and folders and modules stay small."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import ROOT

# A part, a module or a folder, imports from itself and from the lines above it.
BOGV: tuple[set[str], ...] = (
    {"__version__", "batching", "clock", "environment", "errors", "files", "redaction"},
    {"config", "records"},
    {"imaging", "judgements", "logs"},
    {"embedding", "sources", "storage"},
    {"copies"},
    {"calibration"},
    {"duplicates", "ingest"},
    {"service"},
    {"canary", "folder_import"},
    {"web"},
    {"ui"},
    {"bootstrap"},
    {"cli"},
    {"__main__"},
)
EVAL: tuple[set[str], ...] = (
    {"chance", "errors", "metrics", "statistics", "vectors"},
    {"data", "report", "harness", "rerank"},
    {"embedding", "ann", "latency", "speed", "scale"},
    {"backbones", "retrieval"},
    {"robustness", "history", "judging", "sweep"},
    {"copies"},
    {"selftest"},
    {"commands"},
    {"__main__"},
)
LAYERS = {"bogv": BOGV, "eval": EVAL}
WITHOUT_DATASETS = {"ann", "latency", "rerank", "scale", "speed"}
"""Parts of eval whose input is no dataset."""

VENDORS = {
    "cv2": {"bogv/copies"},
    "pymilvus": {"bogv/storage/connection.py", "bogv/storage/schema.py"},
    "milvus_lite": {"bogv/storage/lite.py"},
    "gradio": {"bogv/ui"},
    "torch": {"bogv/embedding/engines.py", "bogv/embedding/state_dict.py"},
    "torchvision": {"bogv/embedding/engines.py"},
    "openvino": {"bogv/embedding/engines.py"},
    "fastapi": {"bogv/web", "bogv/ui/demo.py", "bogv/bootstrap.py"},
    "starlette": {"bogv/web", "bogv/ui", "bogv/bootstrap.py"},
    "uvicorn": {"bogv/web", "bogv/bootstrap.py"},
}
"""Where bogv imports them. Whoever replaces one of them changes no other module."""

MAX_MODULES, MAX_LINES = 16, 400


def modules(top: str) -> list[Path]:
    return sorted((ROOT / top).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The full names that a module imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def parts(top: str, part: str) -> set[str]:
    """The other parts of a package that one of its parts imports."""
    paths = [ROOT / top / f"{part}.py", *(ROOT / top / part).rglob("*.py")]
    names = [name for path in paths if path.is_file() for name in imports(path)]
    return {name.split(".")[1] for name in names if name.startswith(f"{top}.")} - {part}


@pytest.mark.parametrize("top", LAYERS)
def test_every_part_has_a_layer(top: str) -> None:
    there = {path.stem for path in (ROOT / top).glob("*.py")} - {"__init__"}
    there |= {path.parent.name for path in (ROOT / top).glob("*/__init__.py")}
    assert there == set().union(*LAYERS[top]) - {"__version__"}


@pytest.mark.parametrize("top", LAYERS)
def test_imports_point_to_lower_layers(top: str) -> None:
    upwards: dict[str, set[str]] = {}
    lower: set[str] = set()
    for layer in LAYERS[top]:
        for part in layer:
            if above := parts(top, part) - lower:
                upwards[part] = above
        lower |= layer
    assert upwards == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for top in LAYERS
        for path in modules(top)
    }
    graph = {
        name: {
            target
            for full in imports(path)
            for target in (full, full.rpartition(".")[0])
            if target in names and target != name
        }
        for name, path in names.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " imports ".join((*trail[trail.index(name) :], name))
        if name not in done:
            for target in graph[name]:
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_bogv_never_imports_eval() -> None:
    assert not [
        path for path in modules("bogv") if any(n.startswith("eval") for n in imports(path))
    ]


@pytest.mark.parametrize("part", sorted(WITHOUT_DATASETS))
def test_measurements_without_a_dataset_import_none(part: str) -> None:
    assert not parts("eval", part) & {"data", "embedding", "retrieval"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_is_imported_where_it_belongs(vendor: str) -> None:
    users = {
        path.relative_to(ROOT)
        for path in modules("bogv")
        if any(name.split(".")[0] == vendor for name in imports(path))
    }
    homes = {Path(home) for home in VENDORS[vendor]}
    assert users
    assert not [user for user in users if not homes & {user, *user.parents}]


def test_folders_and_modules_are_small() -> None:
    paths = [path for top in (*LAYERS, "tests", "tools") for path in modules(top)]
    long = {path for path in paths if len(path.read_text("utf-8").splitlines()) > MAX_LINES}
    folders = [path.parent for path in paths if path.name != "__init__.py"]
    full = {folder for folder in folders if folders.count(folder) > MAX_MODULES}
    assert not long | full


def test_functions_are_short() -> None:
    lengths = sorted(
        node.end_lineno - node.lineno + 1
        for top in LAYERS
        for path in modules(top)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno
    )
    assert statistics.median(lengths) <= 8
    assert lengths[len(lengths) * 9 // 10] <= 22
