"""Tens of thousands of damaged images: each is a picture or a clear error, and bogv lives on.

`BOGV_MUTATIONS` says how many, 20,000 by default; `BOGV_MUTATIONS_FROM` the first seed: with 1 and
the seed that a failure names, that file alone is tried again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.imaging.support.corpus import mutated
from tests.imaging.support.structures import restructured
from tests.support.running import ROOT, running

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


def test_health_answers_while_rewritten_images_are_searched(tmp_path: Path) -> None:
    """Half of them with bits turned over, half with their structure rewritten; eight at a time."""
    waits: list[float] = []
    over = threading.Event()

    def send(client: httpx.Client, seed: int) -> str:
        data = restructured(seed) if seed % 2 else mutated(seed)
        while True:
            answer = client.post("search/file", files={"file": data}, data={"limit": "1"})
            if answer.status_code != 503:
                return str(answer.json().get("error", {}).get("type", "picture"))

    def watch(url: str) -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not over.wait(0.1):
                start = time.monotonic()
                assert client.get(f"{url}/api/health").json()["data"]["status"] == "ok"
                waits.append(time.monotonic() - start)

    with (
        running(tmp_path / "data", "-m", "tests.soak.serve", BOGV_DECODE_SECONDS="1") as server,
        httpx.Client(
            base_url=f"{server.url}/api/image/sim/", trust_env=False, timeout=120
        ) as client,
        ThreadPoolExecutor(9) as threads,
    ):
        watching = threads.submit(watch, server.url)
        outcomes = Counter(threads.map(partial(send, client), range(FIRST, FIRST + COUNT)))
        over.set()
        watching.result()
    waits.sort()
    middle, most = waits[len(waits) // 2], waits[-1]
    print(f"\n{COUNT:,} files: {dict(outcomes)}")
    print(f"health: asked {len(waits)} times, p50 {middle:.3f} s, at most {most:.3f} s")
    assert set(outcomes) <= {
        "picture",
        "damaged-image",
        "not-an-image",
        "too-many-pixels",
        "too-costly",
    }
    assert waits[-1] < 1.0
