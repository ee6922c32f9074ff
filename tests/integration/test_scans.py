"""Scans for duplicates that are killed, or whose disk is full."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bogv.duplicates.duplicates import Stage
from tests.integration.support.scanning import BLOCK, FILES, keys, open_gallery
from tests.support.full_disk import mount_namespace
from tests.support.pictures import EDITS
from tests.support.running import ROOT

SCRIPT = (sys.executable, "-m", "tests.integration.support.scanning")
EDITED = [["0", *(f"0 {name}" for name in sorted(EDITS))], ["1", "1 smaller"]]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT
    )


@pytest.mark.parametrize("moment", ["compare", "write"])
def test_a_killed_scan_goes_on_and_finds_the_same_groups(tmp_path: Path, moment: str) -> None:
    done = run(*SCRIPT, "killed", tmp_path, moment)
    assert done.returncode == -signal.SIGKILL, done.stderr
    search = open_gallery(tmp_path)
    totals: dict[Stage, int] = {}
    scan = search.duplicates(tmp_path / "state").scan(
        report=lambda stage, _, total: totals.update({stage: total})
    )
    # What the first block compared isn't compared again.
    assert totals["compare"] == FILES * (FILES - 1) // 2 - BLOCK * (BLOCK - 1) // 2
    assert keys(scan) == EDITED
    assert scan == search.duplicates(tmp_path / "other").scan()
    search.close()


def test_a_full_disk_ends_a_scan_with_an_error_and_loses_nothing(tmp_path: Path) -> None:
    namespace = mount_namespace()
    if namespace is None:
        pytest.skip("no right to make mount namespaces (`unshare`)")
    (disk := tmp_path / "disk").mkdir()
    done = run(*namespace, *SCRIPT, "full", tmp_path, disk)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    scanned, marked = seen["refusals"]
    assert scanned.startswith("The state of the scan can't be written: No space left")
    assert marked.startswith("What is different can't be remembered: No space left")
    assert seen["before"] == EDITED
    # The state of the first scan and what was marked before are still there.
    assert seen["compared"] == FILES
    assert seen["after"] == sorted(
        [*(group for group in EDITED if group != seen["different"]), ["2", "2 png"]]
    )
    assert seen["images"] == FILES + 1
