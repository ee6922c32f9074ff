"""Which images of a gallery may be copies of a query."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from bogv.errors import DatabaseUnavailable
from bogv.service import ImageSearch
from tests.support.fakes import encoded, lite_search, picture, png


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path)
    yield service
    service.close()


def plain(side: int) -> bytes:
    image = Image.new("RGB", (300, 200), "white")
    image.paste("blue", (140, 90, 140 + side, 90 + side))
    return encoded(image)


def test_a_search_returns_the_copies_of_its_query(search: ImageSearch) -> None:
    ids = [search.add(png(seed), f"k{seed}").id for seed in range(6)]
    result = search.search(png(2))
    [copy] = result.copies
    assert (copy.record.id, copy.exact) == (ids[2], True)
    assert (copy.match.distance, copy.match.orientation) == (0, 1)
    assert result.copies_complete


def test_a_mirrored_and_compressed_copy_is_found_with_its_orientation(search: ImageSearch) -> None:
    for seed in range(6):
        search.add(png(seed))
    mirrored = picture(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    [copy] = search.search(encoded(mirrored, "JPEG", quality=40)).copies
    assert (copy.match.orientation, copy.exact) == (2, False)
    assert copy.match.distance <= 31


def test_the_same_file_under_several_keys_is_listed_for_each(search: ImageSearch) -> None:
    for key in "abcdef":
        search.add(png(1), key)
    copies = search.search(png(1)).copies
    assert sorted(copy.record.key for copy in copies) == list("abcdef")
    assert all(copy.exact for copy in copies)


def test_plain_pictures_are_copies_only_if_the_files_are_equal(search: ImageSearch) -> None:
    search.add(plain(20), "same")
    search.add(plain(19), "other")
    assert [copy.record.key for copy in search.search(plain(20)).copies] == ["same"]
    assert search.search(plain(18)).copies == []


def test_a_hash_without_its_row_is_no_copy(search: ImageSearch) -> None:
    there, gone = search.add(png(1), "a"), search.add(png(1), "b")
    search._store.delete([gone.id or 0])
    assert [copy.record.id for copy in search.search(png(1)).copies] == [there.id]


def test_a_search_fails_if_the_hashes_can_t_be_searched(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    search.add(png(1))
    monkeypatch.setattr(search._store.copies, "search_many", fail)
    with pytest.raises(DatabaseUnavailable):
        search.search(png(1))
