"""Uploads: size limits, temporary files, and errors."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gradio import route_utils
from gradio.utils import get_upload_folder
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from bogv.ui.uploads import UploadParser
from tests.support.demo import API, upload
from tests.support.fakes import png

pytestmark = pytest.mark.usefixtures("uploads")

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
FILE = b'--b\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'


def temporary_files(tmp_path: Path) -> list[Path]:
    """Temporary files of uploads; stored files are in subfolders."""
    return [path for path in (tmp_path / "cache" / "gradio").iterdir() if path.is_file()]


def test_an_upload_with_a_large_part_is_rejected_and_leaves_no_files(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = client_with()
    for start, status in (
        (FILE % b"a.png", 413),
        (FILE % b"a.png" + b"small\r\n" + FILE % b"b.png", 413),
        (FIELD % b"session_hash", 400),  # gradio holds text fields in memory
        (b"--b\r\nX: ", 413),
        (b"", 400),
    ):
        body = start + b"x" * 1_000_000
        response = client.post(f"{API}/upload", content=body, headers=MULTIPART)
        assert response.status_code == status, start
        assert temporary_files(tmp_path) == []


def test_an_upload_is_limited_in_total_and_only_the_field_files_is_stored(
    client_with: Callable[..., TestClient], tmp_path: Path
) -> None:
    client = client_with()
    parts = (FILE % (b"%d.png" % n) + b"x" * 90_000 + b"\r\n" for n in range(70))
    response = client.post(f"{API}/upload", content=parts, headers=MULTIPART)
    assert response.status_code == 413  # 70 * 90,000 bytes; the limit is 50 * 0.1 MiB
    assert temporary_files(tmp_path) == []
    files = [("files", ("a.png", b"a")), ("other", ("b.png", b"b"))]
    [name] = client.post(f"{API}/upload", files=files).json()
    assert client.get(f"{API}/file={name}").content == b"a"
    assert temporary_files(tmp_path) == []


def test_a_client_that_disconnects_leaves_no_files(tmp_path: Path) -> None:
    uploads = tmp_path / "cache" / "gradio"
    uploads.mkdir(parents=True)

    async def aborted_body() -> Any:
        yield FILE % b"a.png" + b"half of i"
        raise ClientDisconnect

    body = aborted_body()
    parser = UploadParser(Headers(MULTIPART), body, upload_dir=uploads, max_file_size=1000)
    with pytest.raises(ClientDisconnect):
        asyncio.run(parser.parse())
    assert temporary_files(tmp_path) == []


def stored_files() -> list[Path]:
    """All files in gradio's upload folder."""
    folder = Path(get_upload_folder())
    assert folder.is_dir()
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_upload_without_a_file_name_is_rejected(client_with: Callable[..., TestClient]) -> None:
    client = client_with()
    upload(client, png(0))
    before = stored_files()
    field = b'--b\r\nContent-Disposition: form-data; name="files"%s\r\n\r\nx\r\n'
    for body in (
        field % b"",
        field % b'; filename="a.png"' + field % b"",
        field % b'; filename=".."',
    ):
        answer = client.post(f"{API}/upload", content=body + b"--b--\r\n", headers=MULTIPART)
        assert (answer.status_code, "without a name" in answer.json()["detail"]) == (400, True)
    assert stored_files() == before


@pytest.mark.parametrize("stage", ["write", "mkdir"])
def test_an_upload_to_a_full_disk_is_reported(
    client_with: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    client = client_with()
    upload(client, png(0))
    before = stored_files()
    with monkeypatch.context() as patch:
        if stage == "write":
            patch.setattr(route_utils.GradioUploadFile, "write", fail)
        else:
            patch.setattr(Path, "mkdir", fail)
        answer = client.post(f"{API}/upload", files={"files": ("a.png", png(1))})
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The files can't be stored: No space left on device."
    assert stored_files() == before
