"""Which new images are the same picture as one that is there, or that comes earlier."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from bogv.records import Added, Match, NewImage
from bogv.service import ImageSearch
from tests.support.fakes import encoded, lite_search, picture, png


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path)
    yield service
    service.close()


def compressed(seed: int) -> bytes:
    return encoded(picture(seed), "JPEG", quality=70)


def mirrored(seed: int) -> bytes:
    return encoded(picture(seed).transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=80)


def plain(side: int) -> bytes:
    image = Image.new("RGB", (300, 200), "white")
    image.paste("blue", (140, 90, 140 + side, 90 + side))
    return encoded(image)


def add_all(search: ImageSearch, *images: bytes, skip: bool = False) -> list[Added]:
    """In one batch, under the keys n0, n1, …"""
    new = [NewImage(partial(bytes, each), "", f"n{i}") for i, each in enumerate(images)]
    return list(search.add_many(new, skip_duplicates=skip))


def found(added: Added) -> tuple[int, str] | None:
    other = added.near_duplicate_of
    return None if other is None else (other.id, other.match.kind)


def test_an_equal_file_under_another_key_is_exact(search: ImageSearch) -> None:
    first = search.add(png(1), "a")
    second = search.add(png(1), "b")
    assert first.near_duplicate_of is None
    assert second.status == "created"
    assert second.near_duplicate_of is not None
    assert (second.near_duplicate_of.id, second.near_duplicate_of.key) == (first.id, "a")
    assert second.near_duplicate_of.match == Match("exact", 0, 1)


def test_a_mirrored_copy_is_told_with_its_orientation(search: ImageSearch) -> None:
    for seed in range(4):
        search.add(png(seed), f"k{seed}")
    other = search.add(mirrored(2)).near_duplicate_of
    assert other is not None
    assert (other.key, other.match.kind, other.match.orientation_name) == ("k2", "copy", "mirrored")
    assert other.match.distance is not None
    assert other.match.distance <= 31


def test_an_equal_file_comes_before_a_copy(search: ImageSearch) -> None:
    search.add(compressed(1), "copy")
    search.add(png(1), "same")
    other = search.add(png(1), "new").near_duplicate_of
    assert other is not None
    assert (other.key, other.match.kind) == ("same", "exact")


def test_other_pictures_and_the_image_itself_are_none(search: ImageSearch) -> None:
    assert [found(search.add(png(seed), "k")) for seed in (1, 2)] == [None, None]
    again = search.add(png(1), "k", "/new")
    assert (again.status, found(again)) == ("updated", None)
    search.delete_ids([again.id or 0])
    assert found(search.add(png(1), "k")) is None


def test_plain_pictures_are_duplicates_only_as_equal_files(search: ImageSearch) -> None:
    first = search.add(plain(20), "a").id
    assert found(search.add(plain(19), "b")) is None
    assert found(search.add(plain(20), "c")) == (first, "exact")


def test_within_a_batch_the_earlier_image_is_named(search: ImageSearch) -> None:
    stored = search.add(png(3), "stored").id
    added = add_all(search, png(1), compressed(1), png(2), mirrored(3), png(1))
    assert [each.status for each in added] == ["created"] * 5
    first = added[0].id
    assert list(map(found, added)) == [
        None,
        (first, "copy"),
        None,
        (stored, "copy"),
        (first, "exact"),
    ]


def test_duplicates_can_be_skipped(search: ImageSearch) -> None:
    search.add(png(3), "stored")
    added = add_all(search, png(1), compressed(1), png(2), mirrored(3), png(1), skip=True)
    assert [each.status for each in added] == [
        "created",
        "skipped",
        "created",
        "skipped",
        "skipped",
    ]
    assert [each.id for each in added if each.status == "skipped"] == [None] * 3
    assert all(each.near_duplicate_of for each in added if each.status == "skipped")
    assert search.stats().count == 3
    assert search._store.copies.count() == 3
    again = add_all(search, png(1), png(2), skip=True)
    assert [each.status for each in again] == ["unchanged", "skipped"]


def test_an_image_deleted_while_it_is_added_is_compared_too(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It seemed to be in the gallery, so it is decoded only when it is written."""
    first = search.add(compressed(1), "a").id
    kept = search.add(png(1), "b")
    assign = search._pipeline._assign_ids

    def delete_first(items: list[object]) -> object:
        search._store.delete([kept.id or 0])
        return assign(items)  # type: ignore[arg-type]

    monkeypatch.setattr(search._pipeline, "_assign_ids", delete_first)
    again = search.add(png(1), "b")
    assert (again.status, found(again)) == ("created", (first, "copy"))
