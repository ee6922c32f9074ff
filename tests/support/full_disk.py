"""A gallery on a small disk that fills up; a script that test_faults runs in a mount namespace.

Prints what it saw, then what a new process finds, as two lines of JSON; test_faults asserts.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from bogv.bootstrap import open_sources
from bogv.config import Settings
from bogv.service import ImageSearch
from bogv.web.api import create_api
from tests.support.fakes import lite_search, png

MEBIBYTE = 1 << 20
SIM = "/api/image/sim"


def mount_namespace() -> list[str] | None:
    """Runs a command in a mount namespace of its own; None where none may be made."""
    for user in ([], ["--map-root-user"]):
        command = ["unshare", *user, "--mount"]
        with suppress(FileNotFoundError, subprocess.CalledProcessError):
            probe = [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
            subprocess.run(probe, capture_output=True, check=True)
            return command
    return None


def main(disk: Path) -> None:
    """Fill, add until it fails, make room, add again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=True)
    search = lite_search(disk / "data")
    settings = Settings()
    app = FastAPI()
    app.mount("/api", create_api(settings, search, open_sources(settings)))
    with TestClient(app, raise_server_exceptions=False) as client:
        seen = _live(client, search, disk)
    print(json.dumps(seen), flush=True)
    # Once more, from the disk: by a new process, in the same namespace.
    os.execv(sys.executable, [sys.executable, "-m", "tests.support.full_disk", "keys", str(disk)])  # noqa: S606


def _live(client: TestClient, search: ImageSearch, disk: Path) -> dict[str, Any]:
    acknowledged: list[str] = []
    refusals: list[list[Any]] = []
    searches: list[int] = []

    def add(seed: int) -> bool:
        files, form = {"file": ("a.png", png(seed))}, {"key": f"k{seed}"}
        answer = client.post(f"{SIM}/add/file", files=files, data=form)
        if answer.status_code == 200:
            acknowledged.append(f"k{seed}")
            return True
        error = answer.json()["error"]
        refusals.append([answer.status_code, error["type"], error["detail"]])
        return False

    def look() -> None:
        searches.append(client.post(f"{SIM}/search/file", files={"file": png(1)}).status_code)

    for seed in range(1, 6):
        add(seed)
    # At each level of fullness something else is the first to fail.
    for turn, room in enumerate((0, 1_000, 6_000, 20_000, 60_000, 150_000)):
        fill(disk / "filler", room)
        for seed in range(5):
            add(100 + 10 * turn + seed)
            look()
        (disk / "filler").unlink()
        assert add(200 + turn), refusals[-1]
        look()
    deleted = client.post(f"{SIM}/del/key", json={"key": acknowledged.pop(0)}).status_code
    return {
        "acknowledged": acknowledged,
        "refusals": refusals,
        "searches": searches,
        "deleted": deleted,
        "keys": sorted(record.key for record in search.page(size=1000).records),
    }


def fill(path: Path, room: int) -> None:
    """Until there is no more than `room` bytes left."""
    with path.open("wb", buffering=0) as file:
        size = 0
        try:
            while True:
                size += file.write(bytes(MEBIBYTE // 64))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(max(size - room, 0))


def _keys(disk: Path) -> None:
    search = lite_search(disk / "data")
    records = search.page(size=1000).records
    hashed = search._store.copies.existing([record.id for record in records])
    lost = [
        record.key
        for record in records
        if search.thumbnails.read(record.id) is None or record.id not in hashed
    ]
    print(json.dumps({"keys": sorted(record.key for record in records), "lost": lost}))
    search.close()


if __name__ == "__main__":
    _keys(Path(sys.argv[2])) if sys.argv[1] == "keys" else main(Path(sys.argv[1]))
