"""Thumbnails are written atomically, and errors of the storage are clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.errors import StorageUnavailable
from bogv.storage.thumbnails import Thumbnails


def test_a_failed_write_leaves_no_incomplete_thumbnail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnails = Thumbnails(str(tmp_path))
    thumbnails.write(1, b"old")

    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as cut:
            cut.write(data[:1])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        for image_id in (1, 2):
            with pytest.raises(StorageUnavailable, match="No space"):
                thumbnails.write(image_id, b"new")
    assert (thumbnails.read(1), thumbnails.read(2)) == (b"old", None)
    assert [path.name for path in tmp_path.iterdir()] == ["1.webp"]


@pytest.mark.parametrize("url", ["nothing://x", "s3://bucket/thumbnails"])
def test_an_unusable_url_is_a_clear_error(url: str) -> None:
    with pytest.raises(StorageUnavailable):
        Thumbnails(url)
