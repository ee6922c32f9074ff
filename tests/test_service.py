"""Searching, deleting and paging, on Milvus Lite and on a Milvus server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from bogv.canary import Canary
from bogv.errors import (
    GalleryMismatch,
    InvalidValue,
    NotAnImage,
    NotFound,
    StorageUnavailable,
)
from bogv.records import md5_of
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails
from tests.support.fakes import encoded, fake_embedder, fake_search, picture, png
from tests.support.galleries import fill, run_concurrently


def test_an_empty_gallery_answers_with_nothing(search: ImageSearch) -> None:
    assert search.search(png(1)).hits == []
    assert search.page().records == []
    assert search.stats().count == 0
    assert search.get([1]) == []
    assert search.delete_ids([1]) == search.delete_keys(["k"]) == search.delete_keys([]) == 0


def test_what_was_added_is_found_first_at_once(search: ImageSearch) -> None:
    fill(search, 12)
    added = search.add(png(99), "mine", "/a/b.png")
    found = search.search(png(99), limit=3)
    assert len(found.hits) == 3
    best = found.hits[0]
    assert best.score == pytest.approx(1, abs=1e-5)
    record = best.record
    assert (record.id, record.key, record.filepath) == (added.id, "mine", "/a/b.png")
    assert (record.width, record.height, record.size) == (320, 240, len(png(99)))
    assert record.md5 == md5_of(png(99))
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert set(found.seconds) == {"decode", "embed", "search"}
    assert search.stats().count == 13


def test_concurrent_deletes_count_each_image_once(search: ImageSearch) -> None:
    for _ in range(4):
        added = search.add(png(1), "k")
        by_id = partial(search.delete_ids, [added.id or 0])
        by_key = partial(search.delete_keys, ["k"])
        assert sorted(map(str, run_concurrently(by_id, by_key, by_id, by_key))) == [
            "0",
            "0",
            "0",
            "1",
        ]


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused(search: ImageSearch, limit: int) -> None:
    with pytest.raises(InvalidValue, match="1 to 1000"):
        search.search(png(1), limit)


def test_the_least_score_leaves_out_the_rest(search: ImageSearch) -> None:
    fill(search, 8)
    hits = search.search(png(3), 8).hits
    least = (hits[2].score + hits[3].score) / 2
    assert search.search(png(3), 8, min_score=least).hits == hits[:3]


def test_more_hits_than_hnsw_usually_visits(search: ImageSearch) -> None:
    fill(search, 150)
    hits = search.search(png(3), 140).hits
    assert len({hit.record.id for hit in hits}) == 140


def test_searches_that_meet_find_what_each_finds_alone(search: ImageSearch) -> None:
    fill(search, 40)
    asked = [(png(seed), 3 + seed % 3) for seed in range(24)]
    alone = [search.search(image, limit).hits for image, limit in asked]
    with ThreadPoolExecutor(len(asked)) as threads:
        together = threads.map(lambda each: search.search(*each).hits, asked)
        assert list(together) == alone


def test_a_score_is_taken_apart_over_query_and_thumbnail(search: ImageSearch) -> None:
    ids = fill(search, 6)
    found = search.explain(png(3), ids[2])
    shown = next(hit.score for hit in search.search(png(3), 6).hits if hit.record.id == ids[2])
    assert found.stored_score == pytest.approx(shown, abs=1e-5)
    assert found.parts.query.sum() == pytest.approx(found.parts.score, abs=1e-5)
    assert found.parts.hit.sum() == pytest.approx(found.parts.score, abs=1e-5)
    assert found.difference == pytest.approx(found.parts.score - shown, abs=1e-5)
    assert abs(found.difference) < 0.02  # the thumbnail is compressed
    assert (found.query.width, found.query.height) == (320, 240)
    assert (found.hit.width, found.hit.height) == (320, 240)


def test_what_is_not_there_is_not_explained(search: ImageSearch, thumbnails: Thumbnails) -> None:
    with pytest.raises(NotFound, match="no image"):
        search.explain(png(1), 12345)
    (kept,) = fill(search, 1)
    thumbnails.remove([kept])
    with pytest.raises(NotFound, match="no thumbnail"):
        search.explain(png(1), kept)
    with pytest.raises(NotAnImage):
        search.explain(b"nothing", fill(search, 2)[1])


def test_similar_leaves_the_image_itself_out(search: ImageSearch) -> None:
    ids = fill(search, 6)
    found = search.similar(ids[2], limit=3).hits
    assert len(found) == 3
    assert ids[2] not in {hit.record.id for hit in found}
    expected = [hit.record.id for hit in search.search(png(2), 4).hits[1:]]
    assert [hit.record.id for hit in found] == expected
    with pytest.raises(NotFound):
        search.similar(12345)


def test_deleting_counts_what_was_there(search: ImageSearch, thumbnails: Thumbnails) -> None:
    ids = fill(search, 6)
    assert search.delete_ids([ids[0], ids[0], ids[1], 424242]) == 2
    assert search.delete_ids([ids[0]]) == 0
    assert search.delete_keys(["k2", "k3", "nobody"]) == 2
    assert search.stats().count == 2
    assert {hit.record.key for hit in search.search(png(0), 10).hits} == {"k4", "k5"}
    assert [thumbnails.read(i) is not None for i in ids] == [False] * 4 + [True] * 2


def test_a_deleted_image_can_be_added_again(search: ImageSearch) -> None:
    first = search.add(png(1), "k")
    assert search.delete_ids([first.id or 0]) == 1
    again = search.add(png(1), "k")
    assert (again.status, again.id) == ("created", first.id)
    assert search.stats().count == 1


def test_pages_run_from_the_newest_to_the_oldest(search: ImageSearch) -> None:
    ids = fill(search, 25)
    seen, cursor, pages = [], None, 0
    while True:
        page = search.page(cursor, size=10)
        seen += [record.id for record in page.records]
        pages += 1
        if page.next is None:
            break
        cursor = page.next
    assert seen == ids[::-1]
    assert pages == 3


def test_pages_cross_long_gaps_and_dense_bursts(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years between bursts of a row a millisecond; what another process wrote comes first."""
    times = [1_500_000_000_000 + i for i in range(60)] + [1_700_000_000_000 + i for i in range(60)]
    times.append(1_790_000_000_000)
    moments = iter(times)
    monkeypatch.setattr(search._pipeline._clock, "now", lambda: next(moments))
    ids = fill(search, len(times))
    search._store._pager._latest = 0  # as after a restart
    for _ in range(2):
        seen: list[int] = []
        cursor = None
        while cursor or not seen:
            page = search.page(cursor, size=7)
            seen += [record.id for record in page.records]
            cursor = page.next
        assert seen == ids[::-1]
        search._store._pager._latest = times[70]  # what this process saw is not the newest


def test_rows_of_the_same_millisecond_are_all_paged(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search._pipeline._clock, "now", lambda: 1_700_000_000_000)
    ids = fill(search, 20)
    first = search.page(size=15)
    second = search.page(first.next, size=15)
    seen = [record.id for record in first.records + second.records]
    assert sorted(seen) == sorted(ids)


def test_a_page_is_filtered_by_key_or_path(search: ImageSearch) -> None:
    search.add(png(1), "Red Shoe 50%", "/shop/a_1.png")
    search.add(png(2), "blue", "/shop/SHOE/2.png")
    search.add(png(3), "hat", "/shop/3.png")
    keys = {record.key for record in search.page(text="shoe").records}
    assert keys == {"Red Shoe 50%", "blue"}
    for text, count in (("50%", 1), ("_1", 1), ("shop", 3), ("nothing", 0)):
        assert len(search.page(text=text).records) == count


def test_stored_images_find_themselves_by_their_stored_vectors(search: ImageSearch) -> None:
    ids = fill(search, 6)
    assert sorted(search.get_ids_from(0, 10)) == sorted(ids)
    assert len(search.get_ids_from(0, 3)) == 3
    assert sorted(search.get_ids_from(sorted(ids)[4], 10)) == sorted(ids)[4:]
    canary = Canary(search, 300, seed=0)
    canary.check()
    assert canary.result is not None
    assert (canary.result.searched, canary.result.missed) == (4, ())


def test_all_is_there_after_a_restart(
    start: Callable[[], ImageSearch], thumbnails: Thumbnails
) -> None:
    first = start()
    ids = fill(first, 5)
    first.delete_ids(ids[:1])
    first.close()
    second = start()
    try:
        assert second.stats().count == 4
        assert second.search(png(3), 1).hits[0].record.id == ids[3]
        assert [record.id for record in second.page().records] == ids[:0:-1]
    finally:
        second.close()


def test_a_gallery_from_other_weights_is_refused(
    start: Callable[[], ImageSearch], open_store: Callable[[], MilvusStore], tmp_path: Path
) -> None:
    start().close()
    store = open_store()
    assert store.existing_fingerprint() == "fake0000"
    with pytest.raises(GalleryMismatch):
        fake_search(store, tmp_path, embedder=fake_embedder("other000"))
    store.close()


def test_threads_add_search_and_delete_at_once(search: ImageSearch) -> None:
    errors: list[Exception] = []

    def work(worker: int) -> None:
        try:
            for i in range(6):
                added = search.add(png(100 * worker + i), f"w{worker}")
                assert search.search(png(100 * worker + i), 1).hits
                if i % 2:
                    assert search.delete_ids([added.id or 0]) == 1
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert search.stats().count == 4 * 3
    assert len(search.page(size=100).records) == 12


def test_a_thumbnail_that_cannot_be_removed_is_no_failed_delete(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(ids: object) -> None:
        raise StorageUnavailable("Read-only file system.")

    added = search.add(png(1))
    monkeypatch.setattr(search.thumbnails, "remove", read_only)
    assert search.delete_ids([added.id or 0]) == 1
    assert "Read-only" in caplog.text


def test_the_shape_of_an_image_does_not_matter(search: ImageSearch) -> None:
    search.add(encoded(picture(1, (30, 900)), "JPEG"), "tall")
    assert search.search(encoded(picture(1, (30, 900))), 1).hits[0].record.key == "tall"
