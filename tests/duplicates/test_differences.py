"""What is different is remembered, and a damaged file is not overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.duplicates.differences import Differences
from bogv.errors import StorageUnavailable


def test_sets_are_remembered_and_each_image_knows_its_own(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "different.json"
    Differences(path).add([5, 3])
    Differences(path).add([3, 5])  # known
    Differences(path).add([3, 8, 2**53 - 1])
    Differences(path).add([9])  # differs from nothing
    assert Differences(path).sets_of_each() == {
        3: frozenset({0, 1}),
        5: frozenset({0}),
        8: frozenset({1}),
        2**53 - 1: frozenset({1}),
    }


@pytest.mark.parametrize("text", ["[[1, 2]", "{}", '[["1", "2"]]', "[[1, true]]", "3"])
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "different.json"
    path.write_text(text)
    with pytest.raises(StorageUnavailable, match=r"different\.json is damaged"):
        Differences(path).add([1, 2])
    assert path.read_text() == text


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="can't be"):
        Differences(tmp_path / "file" / "different.json").add([1, 2])
