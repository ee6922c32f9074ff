"""Finding duplicates: planted ones are found, nothing else is, and what a person says counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageOps

from bogv.duplicates import close_pairs, duplicates, parts
from bogv.duplicates.duplicates import Group, Scan, Stage
from bogv.errors import NotFound, Overloaded
from bogv.records import NewImage, Record
from bogv.service import ImageSearch
from tests.support.fakes import lite_search
from tests.support.pictures import EDITS, draw, encode, photo

PHOTOS = 12


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    """Photos 0 to 11; of photo 0 all edits, of 1 one, of 2 the same file again."""
    service = lite_search(tmp_path_factory.mktemp("planted"), max_bytes=1_000_000)
    for seed in range(PHOTOS):
        service.add(photo(seed), f"photo {seed}")
    for name, edit in EDITS.items():
        service.add(edit(draw(0)), f"photo 0 {name}")
    service.add(EDITS["smaller"](draw(1)), "photo 1 smaller")
    service.add(photo(2), "photo 2 again")
    yield service
    service.close()


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path / "own", max_bytes=1_000_000)
    yield service
    service.close()


def names(group: Group) -> set[str]:
    return {each.key.removeprefix("photo ") for each in group.images}


def found(scan: Scan) -> list[tuple[str, set[str]]]:
    return [(group.match, names(group)) for group in scan.groups]


def test_planted_duplicates_are_found_and_nothing_else(
    planted: ImageSearch, tmp_path: Path
) -> None:
    scan = planted.duplicates(tmp_path).scan()
    of_0 = {"0", *(f"0 {name}" for name in EDITS)}
    assert sorted(found(scan), key=lambda each: -len(each[1])) == [
        ("copy", of_0),
        ("exact", {"2", "2 again"}),
        ("copy", {"1", "1 smaller"}),
    ]
    savings = [group.saving("largest") for group in scan.groups]
    assert savings == sorted(savings, reverse=True)
    assert (scan.images, scan.is_complete) == (PHOTOS + len(EDITS) + 2, True)
    assert scan == planted.duplicates(tmp_path / "other").scan()


def test_a_scan_for_equal_files_finds_only_these(planted: ImageSearch, tmp_path: Path) -> None:
    scan = planted.duplicates(tmp_path).scan("exact")
    assert found(scan) == [("exact", {"2", "2 again"})]
    assert not list(tmp_path.iterdir())


def test_what_is_different_is_remembered_in_later_scans(
    planted: ImageSearch, tmp_path: Path
) -> None:
    finder = planted.duplicates(tmp_path)
    for group in finder.scan().groups:
        if names(group) <= {"1", "1 smaller", "2", "2 again"}:
            finder.mark_different(group)
    [left] = planted.duplicates(tmp_path).scan().groups
    assert len(left.images) == 1 + len(EDITS)
    finder.mark_different(left)
    assert finder.scan().groups == ()


def test_of_a_file_with_different_images_each_goes_to_one_group(
    search: ImageSearch, tmp_path: Path
) -> None:
    """The same file under four keys, two of which are said to be different, and one edit."""
    finder = search.duplicates(tmp_path)
    ids = [search.add(photo(0), key).id or 0 for key in "abcd"]
    finder.different.add(sorted(ids)[:2])
    search.add(EDITS["smaller"](draw(0)), "small")
    groups = finder.scan().groups
    for group in groups:
        assert not set(sorted(ids)[:2]) <= {each.id for each in group.images}
    assert sum(len(group.images) for group in groups) == 4
    assert len(groups) == 1


def test_a_cancelled_scan_tells_what_it_has_found_and_a_later_one_the_rest(
    planted: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(close_pairs, "BLOCK", 4)
    finder = planted.duplicates(tmp_path)

    def cancel(stage: Stage, done: int, _: int) -> None:
        if stage == "compare" and done:
            finder.cancel()

    some = finder.scan(report=cancel)
    assert not some.is_complete
    totals: dict[Stage, int] = {}
    whole = finder.scan(report=lambda stage, _, total: totals.update({stage: total}))
    assert whole == planted.duplicates(tmp_path / "other").scan()
    contents = PHOTOS + len(EDITS) + 1
    assert totals["compare"] == contents * (contents - 1) // 2 - 8 * 7 // 2


def test_a_scan_cancelled_while_it_reads_has_found_nothing(
    planted: ImageSearch, tmp_path: Path
) -> None:
    finder = planted.duplicates(tmp_path)
    scan = finder.scan(report=lambda *_: finder.cancel())
    assert (scan.groups, scan.is_complete) == ((), False)
    assert finder.scan().groups


def test_one_scan_runs_at_a_time(planted: ImageSearch, tmp_path: Path) -> None:
    finder = planted.duplicates(tmp_path)
    refused: list[bool] = []

    def scan_again(*_: object) -> None:
        with pytest.raises(Overloaded):
            finder.scan()
        refused.append(True)

    assert finder.scan(report=scan_again).groups
    assert refused


def test_what_is_added_and_deleted_between_scans_counts(
    search: ImageSearch, tmp_path: Path
) -> None:
    finder = search.duplicates(tmp_path)
    first = search.add(photo(0), "0").id or 0
    assert finder.scan().groups == ()
    search.add_many([])
    list(search.add_many([NewImage(lambda: EDITS["png"](draw(0)), key="png")]))
    assert [names(group) for group in finder.scan().groups] == [{"0", "png"}]
    search.delete_ids([first])
    assert finder.scan().groups == ()


def record(record_id: int, width: int, size: int, added_at: int) -> Record:
    return Record(record_id, "", "", str(record_id), width, 10, size, added_at)


@pytest.mark.parametrize(
    ("images", "largest", "oldest"),
    [
        ([record(1, 10, 5, 1), record(2, 20, 4, 2)], 2, 1),
        ([record(1, 10, 5, 2), record(2, 10, 6, 2)], 2, 2),
        ([record(1, 10, 5, 2), record(2, 10, 5, 1)], 2, 2),
        ([record(2, 10, 5, 1), record(1, 10, 5, 1)], 1, 1),
    ],
)
def test_the_rule_chooses_the_one_to_keep(images: list[Record], largest: int, oldest: int) -> None:
    group = Group("copy", tuple(images))
    assert (group.kept("largest").id, group.kept("oldest").id) == (largest, oldest)
    assert {each.id for each in group.others("oldest")} == {1, 2} - {oldest}
    [other] = group.others("largest")
    assert group.saving("largest") == other.size


def test_duplicates_are_deleted_only_while_the_kept_ones_are_there(search: ImageSearch) -> None:
    ids = [search.add(photo(0), key).id or 0 for key in "abc"]
    search.delete_ids(ids[:1])
    with pytest.raises(NotFound, match="nothing was deleted"):
        search.delete_duplicates(ids[1:], ids[:1])
    assert search.stats().count == 2
    assert search.delete_duplicates([ids[0], ids[1]], ids[2:]) == 1
    assert [each.id for each in search.get(ids)] == ids[2:]


def test_every_pair_of_a_group_is_close(
    search: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes in a chain: 20 bits from one to the next."""
    ids = [search.add(photo(seed), str(seed)).id or 0 for seed in range(6)]
    bits = np.zeros((6, 256), np.uint8)
    for i in range(6):
        bits[i, : 20 * i] = 1
    search._store.copies.put(ids, np.packbits(bits, axis=1), [100] * 6)
    groups = search.duplicates(tmp_path).scan().groups
    assert groups
    for group in groups:
        for one, other in combinations(group.images, 2):
            assert abs(ids.index(one.id) - ids.index(other.id)) == 1


def test_copies_with_distant_hashes_are_proven_by_geometry(
    search: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(7)
    search.add(encode(whole), "whole")
    framed = ImageOps.expand(whole.crop((8, 8, 312, 312)), 8, "white")
    search.add(encode(framed), "framed")
    monkeypatch.setitem(duplicates._VERIFIED, "copy", 0)
    scan = search.duplicates(tmp_path).scan()
    assert (scan.groups, scan.is_cut) == ((), True)
    monkeypatch.undo()
    [group] = search.duplicates(tmp_path).scan().groups
    assert (group.match, names(group)) == ("copy", {"whole", "framed"})


def test_parts_are_proven_by_geometry_and_verified_once(
    search: ImageSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = draw(7)
    for name, image in (
        ("whole", whole),
        ("crop", whole.crop((10, 10, 310, 310))),
        ("other", draw(8)),
    ):
        search.add(encode(image), name)
    finder = search.duplicates(tmp_path)
    assert finder.scan("copy").groups == ()
    [group] = finder.scan("part").groups
    assert (group.match, names(group)) == ("part", {"whole", "crop"})
    monkeypatch.setattr(parts, "verify", None)  # it would fail
    assert finder.scan("part").groups == (group,)
