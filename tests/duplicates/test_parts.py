"""Proving parts by geometry: what is proven, cancelled, resumed and cut."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bogv.duplicates import parts
from bogv.duplicates.close_pairs import PairTable
from bogv.duplicates.parts import Parts
from bogv.errors import StorageUnavailable
from bogv.records import Pixels
from tests.support.pictures import draw

MD5S = np.array([f"{i:032x}" for i in range(4)], "S32")
Load = Callable[[int], "Pixels | None"]


def load(index: int) -> Pixels | None:
    """0, a crop of it, another picture, and one whose thumbnail is gone."""
    whole = draw(0)
    images = (whole, whole.crop((0, 0, 280, 280)), draw(1))
    return np.asarray(images[index]) if index < len(images) else None


def candidates() -> PairTable:
    left, right = np.array([0, 0, 1, 0], np.int32), np.array([2, 3, 2, 1], np.int32)
    return PairTable(left, right, np.array([40, 50, 50, 60], np.uint8))


def prove(
    path: Path, stop: threading.Event | None = None, load: Load = load
) -> tuple[list[tuple[int, int]], bool, bool]:
    copies, found, complete = Parts(path).prove(
        MD5S, candidates(), load, stop or threading.Event(), lambda *_: None
    )
    assert not len(copies.left)
    pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    return pairs, complete, found.is_cut


def fail(_: int) -> Pixels | None:
    raise AssertionError("verified again")


def test_only_pairs_that_agree_are_proven_and_each_is_verified_once(tmp_path: Path) -> None:
    assert prove(tmp_path / "v") == ([(0, 1)], True, False)
    assert prove(tmp_path / "v", load=fail) == ([(0, 1)], True, False)
    (tmp_path / "v").write_bytes(b"damaged")
    assert prove(tmp_path / "v") == ([(0, 1)], True, False)


def test_pictures_that_show_the_whole_of_each_other_are_copies(tmp_path: Path) -> None:
    whole = draw(0)
    images = (whole, whole.resize((200, 200)), whole.crop((0, 0, 280, 280)))
    pairs = PairTable(
        np.array([0, 0], np.int32), np.array([1, 2], np.int32), np.array([40, 50], np.uint8)
    )
    for _ in range(2):  # the second time from the file
        copies, found, complete = Parts(tmp_path / "v").prove(
            MD5S, pairs, lambda i: np.asarray(images[i]), threading.Event(), lambda *_: None
        )
        assert (copies.right.tolist(), found.right.tolist(), complete) == ([1], [2], True)


def test_a_cancelled_verification_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "BLOCK", 2)
    stop = threading.Event()

    def load_and_stop(index: int) -> Pixels | None:
        stop.set()
        return load(index)

    assert prove(tmp_path / "v", stop, load_and_stop) == ([], False, False)
    loaded: list[int] = []

    def load_counted(index: int) -> Pixels | None:
        loaded.append(index)
        return load(index)

    assert prove(tmp_path / "v", load=load_counted) == ([(0, 1)], True, False)
    assert 3 not in loaded  # of a pair of the first block


def test_a_state_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="state of the scan"):
        prove(tmp_path / "file" / "v")
