"""Runs the notebooks and keeps their output: `make notebooks`, after a change to one.

With untrained weights, which every machine has: equal cells give equal pictures.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def execute(notebook: Any, data: Path) -> None:
    """Run all cells in this interpreter, with untrained weights; the output replaces theirs.

    data: the folder for BOGV_DATA_DIR. Raises what a cell raises.
    """
    # No folder of kernels: what a user has installed there as "python3" may be another Python.
    specs = KernelSpecManager(kernel_dirs=[])
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specs)
    client = NotebookClient(
        notebook, km=manager, timeout=900, resources={"metadata": {"path": str(FOLDER)}}
    )
    environment = {
        **os.environ,
        "BOGV_DATA_DIR": str(data),
        "BOGV_WEIGHTS": "untrained",
        "IPYTHONDIR": str(data / "ipython"),
    }
    client.execute(env=environment, cleanup_kc=True)


def drop_incidentals(notebook: Any) -> None:
    """Remove what differs from run to run, or tells of the machine: progress, times, versions."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    notebook.metadata.pop("language_info", None)


def main() -> None:
    """Run each notebook and write it in place."""
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as data:
            execute(notebook, Path(data))
        drop_incidentals(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
