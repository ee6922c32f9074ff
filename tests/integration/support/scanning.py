"""Scans for duplicates under faults: scripts that tests/integration/test_scans.py runs.

`killed FOLDER MOMENT` makes a gallery, and kills itself in its first scan. `full FOLDER DISK` scans
with its state on a small disk that is full; it prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from bogv.duplicates import close_pairs
from bogv.duplicates.duplicates import Duplicates, Scan, Stage
from bogv.errors import StorageUnavailable
from bogv.service import ImageSearch
from tests.support.fakes import lite_search
from tests.support.full_disk import fill
from tests.support.pictures import EDITS, draw, photo

PHOTOS, BLOCK = 8, 4
FILES = PHOTOS + len(EDITS) + 1
"""All different: of photo 0 all edits, of 1 one."""


def open_gallery(folder: Path) -> ImageSearch:
    """In Milvus Lite."""
    return lite_search(folder / "gallery", max_bytes=1_000_000)


def keys(scan: Scan) -> list[list[str]]:
    """Of each group."""
    return sorted(sorted(image.key for image in group.images) for group in scan.groups)


def _make_gallery(folder: Path) -> ImageSearch:
    search = open_gallery(folder)
    for seed in range(PHOTOS):
        search.add(photo(seed), f"{seed}")
    for name, edit in EDITS.items():
        search.add(edit(draw(0)), f"0 {name}")
    search.add(EDITS["smaller"](draw(1)), "1 smaller")
    return search


def scan_until_killed(folder: Path, moment: str) -> None:
    """Kill -9 in the middle: between two blocks, or with the second state written, but not yet in
    the place of the first one. After each block, the state is saved."""
    close_pairs.BLOCK, close_pairs.SAVE_SECONDS = BLOCK, 0.0
    search = _make_gallery(folder)
    state = folder / "state"
    replace = Path.replace

    def replace_once(source: Path, target: Path) -> Path:
        if target.parent == state and target.exists():
            _kill()
        return replace(source, target)

    def report(stage: Stage, done: int, _: int) -> None:
        if (stage, done) == ("compare", BLOCK * (BLOCK - 1) // 2) and moment == "compare":
            _kill()

    if moment == "write":
        Path.replace = replace_once  # type: ignore[assignment]
    search.duplicates(state).scan(report=report)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def scan_on_a_full_disk(folder: Path, disk: Path) -> dict[str, Any]:
    """Scan, add, fill the disk, scan and mark; make room, scan again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    search = _make_gallery(folder)
    finder = search.duplicates(disk / "state")
    first = finder.scan()
    finder.mark_different(first.groups[-1])
    search.add(EDITS["png"](draw(2)), "2 png")
    fill(disk / "filler", 0)
    refusals = [_refusal(finder, first, name) for name in ("scan", "mark")]
    (disk / "filler").unlink()
    totals: dict[Stage, int] = {}
    whole = finder.scan(report=lambda stage, _, total: totals.update({stage: total}))
    return {
        "before": keys(first),
        "different": sorted(image.key for image in first.groups[-1].images),
        "refusals": refusals,
        "after": keys(whole),
        "compared": totals["compare"],
        "images": search.stats().count,
    }


def _refusal(finder: Duplicates, scan: Scan, name: str) -> str:
    try:
        finder.scan() if name == "scan" else finder.mark_different(scan.groups[0])
    except StorageUnavailable as error:
        return str(error)
    return "none"


if __name__ == "__main__":
    if sys.argv[1] == "killed":
        scan_until_killed(Path(sys.argv[2]), sys.argv[3])
    else:
        print(json.dumps(scan_on_a_full_disk(Path(sys.argv[2]), Path(sys.argv[3]))))
