"""The converted model of the untrained weights, made once for all servers of a run: it takes 10 s.

One process is the first to make it, as bogv does in an empty data folder; the others find it there.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = "TESTS_MODELS"  # that a run's processes share; set in tests/conftest.py


def lend(data: Path) -> None:
    """Put the models that there are into the cache of a data folder."""
    _link(Path(os.environ[FOLDER]), data / "cache")


def keep(data: Path) -> None:
    """Keep what has been made in the cache of a data folder."""
    _link(data / "cache", Path(os.environ[FOLDER]))


def _link(source: Path, target: Path) -> None:
    """The same files under other names: bogv replaces them and writes into none."""
    for xml in source.glob("resnet50-*.xml"):
        target.mkdir(parents=True, exist_ok=True)
        for path in (xml.with_suffix(".bin"), xml):  # the .xml last: where it is, the .bin is whole
            try:
                os.link(path, target / path.name)
            except FileExistsError:  # the same, by another process
                continue
