"""The store of hashes, on Milvus Lite and on a server: what is found, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from bogv.errors import DatabaseUnavailable, GalleryMismatch
from bogv.records import HashMatch, Pixels
from bogv.storage.copies import MAX_DISTANCE, MAX_MATCHES, CopyStore
from bogv.storage.milvus import MilvusStore
from tests.support.milvus_server import MilvusServer

RANDOM = np.random.default_rng(0)


def hashes(count: int) -> Pixels:
    """(count, 32): half of each hash's bits are set, as PDQ's are."""
    values = RANDOM.random((count, 256))
    return np.packbits(values > np.median(values, axis=1, keepdims=True), axis=1)


def flipped(one: Pixels, bits: int) -> Pixels:
    """(32,) -> (32,) that many bits away."""
    unpacked = np.unpackbits(one)
    unpacked[RANDOM.choice(256, bits, replace=False)] ^= 1
    return np.packbits(unpacked)


@pytest.fixture(scope="module", params=["lite", pytest.param("server", marks=pytest.mark.server)])
def gallery(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MilvusStore]:
    if request.param == "lite":
        store = MilvusStore.lite(tmp_path_factory.mktemp("lite"), "images")
    else:
        server: MilvusServer = request.getfixturevalue("milvus_server")
        store = MilvusStore.server(*server.address, f"images_{uuid4().hex}")
    yield store
    store.close()


@pytest.fixture
def copies(gallery: MilvusStore) -> Iterator[CopyStore]:
    gallery.copies.open()
    yield gallery.copies
    gallery.copies.delete(gallery.copies.get_ids_between(0, 2**63 - 1))


def test_a_near_hash_is_found_with_its_distance_orientation_and_quality(copies: CopyStore) -> None:
    stored, query = hashes(50), hashes(8)
    copies.put(range(1, 51), stored, range(50))
    query[5] = flipped(stored[6], 31)
    query[2] = flipped(stored[9], MAX_DISTANCE)
    query[0] = flipped(stored[20], MAX_DISTANCE + 1)
    assert copies.search(query) == [
        HashMatch(7, 31, 6, 6),
        HashMatch(10, MAX_DISTANCE, 3, 9),
    ]


def test_an_image_that_matches_in_several_orientations_is_listed_once(copies: CopyStore) -> None:
    stored = hashes(1)
    copies.put([5], stored, [100])
    query = np.concatenate([[flipped(stored[0], 9)], stored, [flipped(stored[0], 3)]])
    assert copies.search(query) == [HashMatch(5, 0, 2, 100)]


@pytest.mark.parametrize("equal", [5, 40, MAX_MATCHES + 6])
def test_many_equal_hashes_are_found_up_to_the_limit(copies: CopyStore, equal: int) -> None:
    [one] = hashes(1)
    copies.put(range(1, equal + 1), np.stack([one] * equal), [100] * equal)
    copies.put([900], flipped(one, 2)[np.newaxis], [100])
    found = copies.search(np.concatenate([hashes(3), [one], hashes(4)]))
    assert len(found) == min(equal + 1, MAX_MATCHES)
    assert {match.orientation for match in found} == {4}
    assert [match.distance for match in found][:equal] == [0] * min(equal, MAX_MATCHES)
    assert copies.finds_itself(1)


def test_a_hash_is_replaced_counted_and_deleted(copies: CopyStore) -> None:
    first, second = hashes(2)
    copies.put([1, 2], np.stack([first, first]), [10, 20])
    copies.put([2], second[np.newaxis], [30])
    assert copies.count() == 2
    assert copies.existing([1, 2, 3, -1]) == {1, 2}
    assert copies.search(second[np.newaxis]) == [HashMatch(2, 0, 1, 30)]
    copies.delete([1, 7])
    assert copies.existing([1, 2]) == {2}
    assert copies.existing([]) == set()
    assert copies.finds_itself(2) is True
    assert copies.finds_itself(1) is None


def test_on_milvus_lite_the_index_in_memory_keeps_step_with_the_collection(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "x")
    copies = store.copies
    copies.open()
    ids = [int(each) for each in RANDOM.integers(1, 2**53, 60)]
    stored = hashes(60)
    copies.put(ids[:40], stored[:40], range(40))
    copies.close()  # no loading yet: these are searches of the collection
    collection = copies.search_many([stored[:8], stored[30:38]])
    copies._closing.clear()
    copies.search(stored[:1])
    copies.put(ids[40:], stored[40:], range(40, 60))
    copies.delete(ids[:2])
    finish_loading(copies)
    assert copies.approximate_count() == copies.count() == 58
    assert copies._is_loaded
    assert copies.search_many([stored[30:38]]) == collection[1:]
    assert copies.search_many([stored[:8]])[0] == [
        each for each in collection[0] if each.id not in ids[:2]
    ]
    assert copies.search(stored[59:]) == [HashMatch(ids[59], 0, 1, 59)]
    assert copies.search(stored[:1]) == []
    copies.delete(ids[2:3])
    assert copies.search(stored[2:3]) == []
    store.close()


def test_a_load_that_fails_leaves_the_collection_to_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> int:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    store = MilvusStore.lite(tmp_path, "x")
    store.copies.open()
    monkeypatch.setattr(store.copies, "count", fail)
    [one] = hashes(1)
    store.copies.put([5], one[np.newaxis], [60])
    for _ in range(2):
        assert store.copies.search(one[np.newaxis]) == [HashMatch(5, 0, 1, 60)]
        finish_loading(store.copies)
    assert "Hashes can't be loaded" in caplog.text
    store.close()


def finish_loading(copies: CopyStore) -> None:
    assert copies._loading is not None
    copies._loading.join()


def test_ids_are_listed_by_range(copies: CopyStore) -> None:
    copies.put([1, 5, 2**53 - 1], hashes(3), [1, 2, 3])
    assert sorted(copies.get_ids_between(0, 2**53)) == [1, 5, 2**53 - 1]
    assert copies.get_ids_between(1, 5) == [1]


def test_an_empty_store_finds_nothing(copies: CopyStore) -> None:
    assert copies.search(hashes(8)) == []


def test_the_hashes_are_dropped_with_the_gallery(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "x")
    store.open("f", 8)
    store.copies.open()
    store.drop()
    assert store.connection.call(store.connection.client.list_collections) == []
    store.close()


def test_another_collection_of_that_name_is_refused(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "x")
    store.open("copies", 8)  # a gallery whose collection happens to have the name
    with pytest.raises(GalleryMismatch, match="x_copies"):
        store.copies.open()
    store.close()
