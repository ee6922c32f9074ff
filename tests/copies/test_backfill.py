"""Hashing the images of an older gallery: all of them, once, and going on after a stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bogv.copies import backfill
from bogv.errors import StorageUnavailable
from bogv.records import CopyProgress
from bogv.service import ImageSearch
from tests.support.fakes import lite_search, png
from tests.support.galleries import fill

COUNT = 7


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    """A gallery as an older version leaves it: without hashes."""
    service = lite_search(tmp_path)
    service._store.copies.delete(fill(service, COUNT))
    service.backfill.count_missing()
    yield service
    service.close()


def run(search: ImageSearch) -> CopyProgress:
    search.backfill.run(threading.Event())
    return search.stats().copies


def test_all_images_are_hashed_from_their_thumbnails(search: ImageSearch) -> None:
    result = search.search(png(1))
    assert (result.copies, result.copies_complete) == ([], False)
    assert search.stats().copies.summary == "0 of 7"
    assert run(search).summary == "complete"
    result = search.search(png(1))
    [copy] = result.copies
    assert (copy.exact, result.copies_complete) == (True, True)
    assert copy.match.distance <= 31  # the patches have few frequencies
    assert search._store.copies.count() == COUNT


def test_a_stop_ends_it_and_the_next_run_goes_on(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "BATCH", 3)
    stopped = threading.Event()
    stopped.set()
    search.backfill.run(stopped)
    assert search.stats().copies.summary == "3 of 7"
    decoded = counted(search, monkeypatch)
    assert run(search).summary == "complete"
    assert len(decoded) == COUNT - 3
    run(search)
    assert len(decoded) == COUNT - 3, "a complete gallery is left alone"


def counted(search: ImageSearch, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of what is decoded from now on."""
    decoded: list[int] = []
    decode = search.decoder.decode

    def count(data: bytes, reduced: bool) -> object:
        decoded.append(len(data))
        return decode(data, reduced=reduced)

    monkeypatch.setattr(search.decoder, "decode", count)
    return decoded


def test_unreadable_thumbnails_are_logged_and_left_out(
    search: ImageSearch, caplog: pytest.LogCaptureFixture
) -> None:
    missing, damaged, *_ = search.get_ids_from(0, COUNT)
    search.thumbnails.remove([missing])
    search.thumbnails.write(damaged, b"RIFF")
    with caplog.at_level(logging.WARNING):
        assert run(search) == CopyProgress(COUNT, 2, 2)
    assert search.stats().copies.summary == "5 of 7, 2 unreadable"
    assert f"Image {missing} has no thumbnail" in caplog.text
    assert (
        f"The thumbnail of image {damaged} can't be decoded: The bytes are no image" in caplog.text
    )
    assert not search.search(png(1)).copies_complete


def test_an_image_deleted_meanwhile_leaves_no_hash(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = search.get_ids_from(0, 1)
    hook(search, monkeypatch, lambda: search.delete_ids(gone))
    assert run(search).summary == "complete"
    assert search._store.copies.count() == search.stats().count == COUNT - 1


def hook(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]
) -> None:
    """Run the action when all thumbnails of a batch are decoded."""
    lock = search.backfill._write_lock

    def act_and_lock() -> object:
        monkeypatch.undo()
        action()
        return lock()

    monkeypatch.setattr(search.backfill, "_write_lock", act_and_lock)


def test_a_storage_that_fails_ends_the_run_and_marks_no_image_unreadable(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> bytes:
        raise StorageUnavailable("The thumbnail can't be read.")

    with monkeypatch.context() as patched:
        patched.setattr(search.thumbnails, "read", fail)
        with pytest.raises(StorageUnavailable):
            search.backfill.run(threading.Event())
    assert search.stats().copies == CopyProgress(COUNT, COUNT, 0)
    assert run(search).summary == "complete"


def test_an_image_added_before_the_run_keeps_its_hash(search: ImageSearch) -> None:
    added = search.add(png(50)).id or 0
    assert search.stats().copies.summary == "1 of 8"
    assert run(search).summary == "complete"
    assert search._store.copies.existing([added]) == {added}
