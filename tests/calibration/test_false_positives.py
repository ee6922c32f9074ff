"""Searches with images that are left out."""

from __future__ import annotations

from dataclasses import replace

from bogv.calibration.false_positives import known
from bogv.records import Record

RECORD = Record(1, "k", "/a/x.jpg", "0" * 32, 10, 10, 100, 0)


def test_images_of_one_file_key_or_folder_are_known_to_be_the_same() -> None:
    other = replace(RECORD, id=2, key="other", md5="1" * 32)
    assert not known(RECORD, other, "key")
    assert known(RECORD, replace(other, key="k"), "key")
    assert known(RECORD, replace(other, md5="0" * 32), "key")
    assert known(RECORD, other, "folder")
    assert not known(RECORD, replace(other, filepath="/b/x.jpg"), "folder")
    bare = replace(RECORD, filepath="x.jpg")
    assert not known(bare, replace(other, filepath="y.jpg"), "folder"), "no folder at all"
