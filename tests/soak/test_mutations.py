"""Tens of thousands of damaged images: each is a picture or a clear error, and bogv lives on.

`BOGV_MUTATIONS` says how many, 20,000 by default; `BOGV_MUTATIONS_FROM` the first seed: with 1 and
the seed that a failure names, that file alone is tried again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT

pytestmark = pytest.mark.soak

# Read before the tests' environment is cleaned.
COUNT = int(os.environ.get("BOGV_MUTATIONS", "20000"))
FIRST = int(os.environ.get("BOGV_MUTATIONS_FROM", "0"))
HANGS = 120  # seconds that no file moves on: one takes milliseconds, the adding of 512 seconds
GROWTH = 300  # MiB, for a limit of a million pixels, and a gallery of 512 images


def test_mutated_images_are_pictures_or_clear_errors(tmp_path: Path) -> None:
    done = run(tmp_path, FIRST, COUNT)
    outcomes = done["outcomes"]
    print(f"\n{COUNT:,} files from seed {FIRST}: {done}")
    assert sum(outcomes.values()) == COUNT
    if COUNT >= 1000:
        assert set(outcomes) == {"picture", "damaged-image", "not-an-image", "too-many-pixels"}
    assert done["most"] - done["settled"] < GROWTH, done


def run(folder: Path, first: int, count: int) -> dict[str, Any]:
    """What the process tells at its end; fails with the seed if it dies or hangs."""
    seed = folder / "seed"
    seed.write_bytes(b"%20d" % -1)
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.soak.mutate", str(folder)]
    with (folder / "output").open("w+") as output, (folder / "errors").open("w+") as errors:
        process = subprocess.Popen(
            [*command, str(first), str(count)], cwd=ROOT, stdout=output, stderr=errors
        )
        try:
            last, since = b"", time.monotonic()
            while process.poll() is None:
                if (now := seed.read_bytes()) != last:
                    last, since = now, time.monotonic()
                hangs = time.monotonic() - since > HANGS
                assert not hangs, f"seed {int(last)}, or the adding of its chunk, hangs"
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        told = errors.read()[-3000:]
        assert process.returncode == 0, (
            f"ended with {process.returncode} at seed {int(seed.read_bytes())}, or while the chunk"
            f" that it closes was added:\n{told}"
        )
        output.seek(0)
        done: dict[str, Any] = json.loads(output.read().splitlines()[-1])
    return done
