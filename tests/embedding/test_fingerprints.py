from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from bogv.embedding import fingerprints, state_dict
from bogv.embedding.fingerprints import RECORD, fingerprint_of, fingerprints_of_file
from bogv.errors import WeightsUnavailable
from tests.embedding.support.origins import SMALL, as_safetensors, as_torch, small_numbers


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_dict, "SHAPES", SMALL)


@pytest.fixture
def pth(tmp_path: Path) -> Path:
    path = tmp_path / "a.pth"
    path.write_bytes(as_torch(small_numbers()))
    return path


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    path.write_bytes(as_safetensors(small_numbers()))
    return path


def refuse(*_: object) -> None:
    raise AssertionError("the file was read again")


def test_a_file_that_was_read_is_known_again_by_its_checksum(
    tmp_path: Path, pth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start needs no import of torch."""
    folder = tmp_path / "models"
    first = fingerprints_of_file(pth, folder)
    monkeypatch.setattr(fingerprints, "read_state_dict", refuse)
    assert fingerprints_of_file(pth.rename(tmp_path / "moved.pth"), folder) == first
    with pytest.raises(AssertionError, match="read again"):
        fingerprints_of_file(tmp_path / "moved.pth", tmp_path / "other")


def test_the_first_fingerprint_is_of_the_numbers_and_the_others_of_files(
    tmp_path: Path, pth: Path, hub: Path
) -> None:
    numbers, *own = fingerprints_of_file(pth, tmp_path / "models")
    assert own == [fingerprint_of(hashlib.sha256(pth.read_bytes()).hexdigest())]
    same, *both = fingerprints_of_file(hub, tmp_path / "models")
    assert same == numbers
    assert set(own) < set(both)
    assert len(both) == 2


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": 1}', b"\xff"])
def test_a_damaged_record_is_made_again(tmp_path: Path, pth: Path, content: bytes) -> None:
    folder = tmp_path / "models"
    expected = fingerprints_of_file(pth, folder)
    (folder / RECORD).write_bytes(content)
    assert fingerprints_of_file(pth, folder) == expected
    assert len(json.loads((folder / RECORD).read_text("utf-8"))) == 1


def test_a_record_that_can_not_be_written_is_told_and_done_without(
    tmp_path: Path, pth: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "models").write_text("a file in place of the folder")
    assert fingerprints_of_file(pth, tmp_path / "models") == fingerprints_of_file(pth, None)
    assert "can't be noted" in caplog.text


def test_a_file_with_another_checksum_is_damaged(pth: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="damaged: their SHA-256 begins with"):
        fingerprints_of_file(pth, None, "0" * 8)


def test_a_file_that_is_no_resnet50_gets_no_fingerprint(tmp_path: Path, pth: Path) -> None:
    pth.write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsUnavailable, match="not a state dict"):
        fingerprints_of_file(pth, tmp_path / "models")
    assert not (tmp_path / "models").exists()
