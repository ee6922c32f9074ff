"""One suite for both: Milvus Lite, and a real server where one can run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from bogv import ingest as module
from bogv.canary import Canary
from bogv.errors import (
    DamagedImage,
    DatabaseUnavailable,
    EngineFailed,
    GalleryMismatch,
    InvalidValue,
    NotAnImage,
    NotFound,
    StorageUnavailable,
)
from bogv.records import NewImage, Record, Vectors, image_id, md5_of
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from bogv.storage.thumbnails import Thumbnails
from tests.support.fakes import FakeEngine, encoded, fake_embedder, fake_search, picture, png

OpenStore = Callable[[], MilvusStore]


@pytest.fixture(scope="module")
def server_gallery() -> str:
    """The gallery on the server that all tests here share: making one takes 3 s."""
    return f"images_{uuid4().hex}"


@pytest.fixture(params=["lite", pytest.param("server", marks=pytest.mark.server)])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, server_gallery: str
) -> Iterator[OpenStore]:
    """Opens the gallery of this test, which is empty; again after it was closed, too."""
    if request.param == "lite":
        yield lambda: MilvusStore.lite(tmp_path / "lite", "images")
        return
    host, port = request.getfixturevalue("milvus_server").address
    yield lambda: MilvusStore.server(host, port, server_gallery)
    store = MilvusStore.server(host, port, server_gallery)
    while left := store.newest(None, 1000):
        store.delete([record.id for record in left])
    store.close()


@pytest.fixture
def thumbnails(tmp_path: Path) -> Thumbnails:
    return Thumbnails(str(tmp_path / "thumbnails"))


@pytest.fixture
def start(open_store: OpenStore, tmp_path: Path) -> Callable[[], ImageSearch]:
    return lambda: fake_search(open_store(), tmp_path, max_bytes=1_000_000, max_pixels=10_000_000)


@pytest.fixture
def search(start: Callable[[], ImageSearch]) -> Iterator[ImageSearch]:
    service = start()
    yield service
    service.close()


def fill(search: ImageSearch, count: int) -> list[int]:
    """Add pictures 0 to count - 1 under the keys k0, k1, …; their ids."""
    images = (NewImage(partial(png, i), f"/photos/{i}.png", f"k{i}") for i in range(count))
    return [added.id or 0 for added in search.add_many(images)]


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


def test_without_a_key_the_md5_is_the_key(search: ImageSearch) -> None:
    assert search.add(png(1)).key == search.add(png(1), "").key == md5_of(png(1))


def test_adds_that_meet_are_written_together(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    put = search._store.put

    def counted(records: Sequence[Record], vectors: Vectors) -> None:
        written.append(len(records))
        put(records, vectors)

    monkeypatch.setattr(search._store, "put", counted)
    seeds = [1, 2, 3, 4, 4]  # two of them bring the same bytes
    with ThreadPoolExecutor(len(seeds)) as threads:
        with search._writing:
            adding = [threads.submit(search.add, png(seeds[0]))]
            while (
                search._pipeline._writes._waiting
                or not search._pipeline._writes._batch_lock.locked()
            ):
                time.sleep(0.01)  # until it waits for the lock
            adding += [threads.submit(search.add, png(seed)) for seed in seeds[1:]]
            while len(search._pipeline._writes._waiting) < len(seeds) - 1:
                time.sleep(0.01)
        statuses = sorted(job.result().status for job in adding)
    assert statuses == ["created"] * 4 + ["unchanged"]
    assert len(written) == 2
    assert sum(written) == search.stats().count == 4


def test_adding_twice_changes_nothing_but_the_path(search: ImageSearch) -> None:
    first = search.add(png(1), "k", "/old", origin="upload.png")
    before = search.get([first.id or 0])
    again = search.add(png(1), "k", origin="other.png")
    assert (first.status, again.status, again.id) == ("created", "unchanged", first.id)
    assert search.get([first.id or 0]) == before
    moved = search.add(png(1), "k", "/new")
    assert (moved.status, moved.id) == ("updated", first.id)
    [record] = search.get([first.id or 0])
    assert record.filepath == "/new"
    assert record.added_at == before[0].added_at
    assert search.stats().count == 1
    assert search.search(png(1), 1).hits[0].score == pytest.approx(1, abs=1e-5)


def test_the_origin_stands_for_a_path_that_was_not_given(search: ImageSearch) -> None:
    added = search.add(png(1), origin="upload.png")
    assert search.get([added.id or 0])[0].filepath == "upload.png"


def test_other_bytes_under_the_same_key_are_another_record(search: ImageSearch) -> None:
    one, two = search.add(png(1), "product"), search.add(png(2), "product")
    assert one.id != two.id
    assert {record.id for record in search.get_by_keys(["product"])} == {one.id, two.id}
    assert search.delete_keys(["product"]) == 2


def test_an_id_is_the_same_everywhere_and_exact_in_a_browser(search: ImageSearch) -> None:
    added = search.add(png(1), "k")
    assert added.id == image_id("k", md5_of(png(1)))
    assert 0 < (added.id or 0) < 2**53


def test_colliding_ids_give_way_to_each_other(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every id the same to begin with: in one batch, and against what is there."""
    monkeypatch.setattr(module, "image_id", lambda *_: 2**53 - 1)
    ids = [search.add(png(0), "first").id, *fill(search, 3)]
    assert ids == [2**53 - 1, 1, 2, 3]
    assert search.add(png(0), "first").status == "unchanged"
    assert [search.search(png(i), 1).hits[0].record.key for i in range(3)]
    assert search.stats().count == 4


def test_one_bad_image_never_stops_the_rest(search: ImageSearch, thumbnails: Thumbnails) -> None:
    def gone() -> bytes:
        raise StorageUnavailable("The disk is gone.")

    images = [
        NewImage(lambda: png(1), "good"),
        NewImage(lambda: b"no image", "bad"),
        NewImage(lambda: png(2)[:500], "short"),
        NewImage(gone, "gone"),
        NewImage(lambda: png(3), "long", "k" * 513),
        NewImage(lambda: png(4), "surrogate", "\ud800"),
        NewImage(lambda: png(1), "again"),
        NewImage(lambda: png(5), "last"),
    ]
    verdicts = list(search.add_many(images))
    assert [added.filepath for added in verdicts] == [image.filepath for image in images]
    assert [added.status for added in verdicts] == (
        ["created"] + ["failed"] * 5 + ["updated", "created"]
    )
    errors = [type(added.error) for added in verdicts[1:6]]
    assert errors == [NotAnImage, DamagedImage, StorageUnavailable, InvalidValue, InvalidValue]
    assert search.stats().count == 2
    assert search.get_by_keys([md5_of(png(1))])[0].filepath == "again"


def test_many_images_are_added_in_batches_and_in_order(search: ImageSearch) -> None:
    ids = fill(search, 70)
    assert len(set(ids)) == search.stats().count == 70
    assert [record.id for record in search.page(size=100).records] == ids[::-1]
    engine = search.embedder._engine
    assert isinstance(engine, FakeEngine)
    assert max(engine.batches) == module.BATCH
    assert [added.status for added in search.add_many([NewImage(lambda: png(3), "", "k3")])] == [
        "unchanged"
    ]


def test_an_image_that_comes_twice_is_created_once(search: ImageSearch) -> None:
    """In the same batch, in the next, and long after; the last path holds."""
    places = {0: 0, 5: 0, module.BATCH + 3: 0, module.BATCH + 4: 0, 3 * module.BATCH: 0}
    images = [
        NewImage(partial(png, places.get(i, 1 + i % 4)), f"/{i}", str(places.get(i, f"k{i}")))
        for i in range(3 * module.BATCH + 1)
    ]
    verdicts = list(search.add_many(images))
    assert [verdicts[i].status for i in places] == ["created"] + ["updated"] * 4
    assert sum(added.status == "created" for added in verdicts) == search.stats().count
    assert search.get_by_keys(["0"])[0].filepath == f"/{3 * module.BATCH}"


def test_the_last_path_wins(search: ImageSearch) -> None:
    images = [NewImage(partial(png, 1), path, "k") for path in ("/a", "/b", "/a", "", "/c")]
    statuses = [added.status for added in search.add_many(images)]
    assert statuses == ["created", "updated", "updated", "unchanged", "updated"]
    assert search.get_by_keys(["k"])[0].filepath == "/c"


def test_an_image_deleted_while_it_is_looked_up_is_added_again(search: ImageSearch) -> None:
    """The next batch is looked up early; what counts is what is there when it is written."""
    first = search.add(png(0), "k")
    images = [NewImage(partial(png, 1 + i), key=f"k{i}") for i in range(module.BATCH)]
    verdicts = search.add_many([*images, NewImage(partial(png, 0), key="k")])
    next(verdicts)
    search._pipeline._threads.submit(bool).result()
    assert search.delete_ids([first.id or 0]) == 1
    assert list(verdicts)[-1].status == "created"
    assert search.get([first.id or 0])[0].key == "k"
    assert search.thumbnails.read(first.id or 0) is not None


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What the calls give, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def test_concurrent_deletes_count_each_image_once(search: ImageSearch) -> None:
    for _ in range(4):
        added = search.add(png(1), "k")
        by_id = partial(search.delete_ids, [added.id or 0])
        by_key = partial(search.delete_keys, ["k"])
        assert sorted(map(str, at_once(by_id, by_key, by_id, by_key))) == ["0", "0", "0", "1"]


def test_concurrent_adds_create_once_and_keep_the_path(search: ImageSearch) -> None:
    for i in range(4):
        plain = partial(search.add, png(i), f"k{i}", origin="upload.png")
        given = partial(search.add, png(i), f"k{i}", "/given")
        verdicts = at_once(plain, given, plain, plain)
        statuses = [getattr(verdict, "status", None) for verdict in verdicts]
        assert statuses.count("created") == 1
        assert search.get_by_keys([f"k{i}"])[0].filepath == "/given"
    assert search.stats().count == 4


def test_reading_runs_no_further_ahead_than_three_batches(search: ImageSearch) -> None:
    read: list[int] = []

    def images() -> Iterator[NewImage]:
        for i in range(5 * module.BATCH):
            read.append(i)
            yield NewImage(partial(png, i % 4), key=str(i))

    next(search.add_many(images()))
    assert len(read) <= 3 * module.BATCH


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
    start: Callable[[], ImageSearch], open_store: OpenStore, tmp_path: Path
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


def test_a_thumbnail_that_cannot_be_written_leaves_no_row(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(image_id: int, data: bytes) -> None:
        raise StorageUnavailable("No space left on device.")

    monkeypatch.setattr(search.thumbnails, "write", full)
    with pytest.raises(StorageUnavailable):
        search.add(png(1))
    assert search.stats().count == 0


def test_an_image_that_comes_twice_and_cannot_be_written_fails_twice(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the gallery has as it is to be is unchanged, all the same."""

    def gone(*_: object) -> None:
        raise DatabaseUnavailable("Milvus doesn't answer.")

    search.add(png(0), "there", "/there")
    monkeypatch.setattr(search._store, "put", gone)
    images = [
        NewImage(partial(png, seed), path, key)
        for seed, path, key in [(1, "", "new"), (1, "", "new"), (0, "/there", "there")]
    ]
    added = list(search.add_many([*images, NewImage(partial(png, 0), "/moved", "there")]))
    assert [each.status for each in added] == ["failed", "failed", "unchanged", "failed"]
    assert search.stats().count == 1


def test_a_thumbnail_that_cannot_be_removed_is_no_failed_delete(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(ids: object) -> None:
        raise StorageUnavailable("Read-only file system.")

    added = search.add(png(1))
    monkeypatch.setattr(search.thumbnails, "remove", read_only)
    assert search.delete_ids([added.id or 0]) == 1
    assert "Read-only" in caplog.text


def test_a_failing_engine_fails_the_images_and_stops_nothing(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(pixels: object) -> None:
        raise RuntimeError("CUDA out of memory")

    search.add(png(1), "there")
    with monkeypatch.context() as patched:
        patched.setattr(search.embedder._engine, "compute", out_of_memory)
        images = [NewImage(partial(png, i), key="there") for i in (1, 2)]
        known, new = search.add_many(images)
    assert (known.status, type(new.error)) == ("unchanged", EngineFailed)
    assert search.stats().count == 1


@pytest.mark.parametrize("entry", ["app", "eval.scale.measure"])
def test_arrow_allocates_with_the_systems_allocator(entry: str) -> None:
    """Arrow chooses once, as it is loaded: too late is without effect, and nothing says so."""
    script = f"import {entry}, pyarrow; print(pyarrow.default_memory_pool().backend_name)"
    environment = {n: v for n, v in os.environ.items() if n != "ARROW_DEFAULT_MEMORY_POOL"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "system"


def test_the_shape_of_an_image_does_not_matter(search: ImageSearch) -> None:
    search.add(encoded(picture(1, (30, 900)), "JPEG"), "tall")
    assert search.search(encoded(picture(1, (30, 900))), 1).hits[0].record.key == "tall"
