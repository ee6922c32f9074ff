"""Reading a gallery's MD5s and hashes, in pages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bogv.duplicates import contents
from bogv.duplicates.contents import read_contents
from bogv.records import md5_of
from bogv.service import ImageSearch
from bogv.storage.hamming import as_words
from tests.support.fakes import lite_search, png
from tests.support.galleries import fill


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path)
    yield service
    service.close()


def test_each_file_is_read_once_with_all_its_images_and_its_hash(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "ROWS_PER_READ", 2)
    ids = fill(search, 5)
    again = search.add(png(3), "other key").id
    told: list[tuple[int, int]] = []
    found = read_contents(search._store, threading.Event(), lambda *of: told.append(of))
    assert found is not None
    assert told == [(page, 4) for page in range(5)]
    md5s = [each.decode() for each in found.md5s.tolist()]
    assert md5s == sorted(md5_of(png(i)) for i in range(5))
    assert found.ids[md5s.index(md5_of(png(3)))] == sorted([ids[3], again or 0])
    assert found.images == 6
    stored, hashes, qualities = search._store.copies.hashes_between(0, 2**53)
    for place in np.flatnonzero(found.is_telling):
        [row] = [i for i, each in enumerate(stored) if each == found.ids[place][0]]
        assert (as_words(hashes[row : row + 1])[0] == found.words[place]).all()
        assert qualities[row] >= 50
    assert found.without_hash() == 6 - sum(len(found.ids[i]) for i in found.is_telling.nonzero()[0])


def test_an_image_that_is_too_plain_or_not_hashed_has_no_telling_hash(search: ImageSearch) -> None:
    ids = fill(search, 3)
    rows = search._store.copies.hashes_between(0, 2**53)
    search._store.copies.put(rows[0], rows[1], [49, 50, 50])
    search._store.copies.delete([next(each for each in ids if each != rows[0][0])])
    found = read_contents(search._store, threading.Event(), lambda *_: None)
    assert found is not None
    assert sorted(found.is_telling) == [False, False, True]
    assert found.without_hash() == 2


def test_a_stop_ends_the_reading(search: ImageSearch) -> None:
    fill(search, 2)
    stop = threading.Event()
    stop.set()
    assert read_contents(search._store, stop, lambda *_: None) is None
    assert read_contents(search._store, threading.Event(), lambda *_: None) is not None


def test_an_empty_gallery_has_no_contents(search: ImageSearch) -> None:
    found = read_contents(search._store, threading.Event(), lambda *_: None)
    assert found is not None
    assert (len(found.md5s), found.words.shape, found.images) == (0, (0, 4), 0)
