"""Adding, on Milvus Lite and on a Milvus server."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from bogv import ingest as module
from bogv.errors import (
    DamagedImage,
    DatabaseUnavailable,
    EngineFailed,
    InvalidValue,
    NotAnImage,
    StorageUnavailable,
)
from bogv.records import NewImage, Record, Vectors, image_id, md5_of
from bogv.service import ImageSearch
from bogv.storage.thumbnails import Thumbnails
from tests.support.fakes import FakeEngine, png
from tests.support.galleries import fill, run_concurrently


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


def test_concurrent_adds_create_once_and_keep_the_path(search: ImageSearch) -> None:
    for i in range(4):
        plain = partial(search.add, png(i), f"k{i}", origin="upload.png")
        given = partial(search.add, png(i), f"k{i}", "/given")
        verdicts = run_concurrently(plain, given, plain, plain)
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
