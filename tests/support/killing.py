"""A process that adds and deletes from several threads until it is killed, and what it has told.

The processes are forked from one that has imported everything (multiprocessing's fork server):
a start takes no second of imports. Before each change a process says what it is about to do, and
afterwards that it is done; who reads that knows what must be there, what must not, and what may.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bogv.errors import GalleryInUse
from bogv.records import NewImage, image_id, md5_of
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from tests.support.fakes import encoded, fake_search, picture

THREADS = 4
KEYS = 12  # of each thread
BATCH = 4  # keys that a thread adds at once

Word = tuple[str, str, tuple[str, ...]]  # "checked", "begin" or "done"; "add" or "delete", keys


@dataclass(frozen=True)
class Place:
    """Where a gallery lies: on Milvus Lite in the folder, or on a server."""

    folder: Path
    server: tuple[str, int] | None = None

    def open(self) -> ImageSearch:
        """The service on it."""
        store = (
            MilvusStore.lite(self.folder, "images")
            if self.server is None
            else MilvusStore.server(*self.server, f"kill_{self.folder.name}")
        )
        return fake_search(store, self.folder, pending=self.folder / "pending")


@dataclass
class Model:
    """What a gallery must hold, by what was acknowledged. Keys are in, out, or either."""

    there: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    done: int = 0

    def hear(self, word: Word) -> None:
        """Take in what a process has said."""
        state, change, keys = word
        if state == "begin":
            self.open |= set(keys)
            return
        self.done += 1
        self.open -= set(keys)
        self.there = self.there | set(keys) if change == "add" else self.there - set(keys)

    def check(self, search: ImageSearch) -> None:
        """Compare, and take over what has become of the changes that were cut short."""
        listed = _all_keys(search)
        assert listed - self.open == self.there - self.open, "acknowledged, and not so"
        rows = search.get([_id(key) for key in map(_key, range(THREADS * KEYS))])
        assert {record.key for record in rows} == listed, "found by id, and not in the listing"
        hashed = search._store.copies.existing([record.id for record in rows])
        for record in rows:
            assert record.id in hashed, "a row without its hash"
            thumbnail = search.thumbnails.read(record.id)
            assert thumbnail is not None, "a row without its thumbnail"
            search.decoder.decode(thumbnail)  # raises if it is cut short
        self.there, self.open = listed, set()

    def check_rest(self, search: ImageSearch, folder: Path) -> None:
        """After the sweep: the hashes and thumbnails of the rows, and no other ones or files."""
        assert search._store.copies.count() == len(self.there), "a hash without its row"
        files = {path.name for path in (folder / "thumbnails").iterdir()} - {"deletes.lock"}
        assert files == {f"{_id(key)}.webp" for key in self.there}
        # What the process that is open now notes may be there, and is empty.
        assert all(not path.read_bytes() for path in (folder / "pending").glob("*.ids"))


def _all_keys(search: ImageSearch) -> set[str]:
    return {record.key for record in search.page(size=1000).records}


def _key(number: int) -> str:
    return f"k{number}"


@cache
def _png(key: str) -> bytes:
    return encoded(picture(int(key[1:]), (48, 36)))


@cache
def _id(key: str) -> int:
    return image_id(key, md5_of(_png(key)))


def work(place: Place, told: Connection, model: Model, seed: int) -> None:
    """Check what the process before has left; then add and delete from `THREADS` threads, for ever.

    Each thread has keys of its own.
    """
    lock = threading.Lock()

    def say(*word: Any) -> None:
        with lock:
            told.send(word)

    try:
        search = place.open()
        model.check(search)
        assert search.sweep(min_age=0) == 0
        model.check_rest(search, place.folder)
    except Exception as error:  # noqa: BLE001, it fails the test
        say("failed", f"{type(error).__name__}: {error}", ())
        return
    say("checked", "", tuple(model.there))
    there = model.there

    def run(thread: int) -> None:
        choice = random.Random(f"{seed} {thread}")
        mine = [_key(thread * KEYS + i) for i in range(KEYS)]
        inside = {key for key in mine if key in there}
        while True:
            keys = tuple(choice.sample(mine, choice.choice([1, BATCH])))
            if choice.random() < 0.4:
                say("begin", "delete", keys)
                if inside & set(keys):
                    assert search.delete_keys(keys) == len(inside & set(keys))
                say("done", "delete", keys)
                inside -= set(keys)
            else:
                say("begin", "add", keys)
                _add(search, keys)
                say("done", "add", keys)
                inside |= set(keys)

    for thread in range(THREADS):
        threading.Thread(target=_or_say, args=(run, thread, say), daemon=True).start()
    threading.Event().wait()


def _add(search: ImageSearch, keys: tuple[str, ...]) -> None:
    if len(keys) == 1:
        search.add(_png(keys[0]), keys[0])
        return
    for added in search.add_many([NewImage(lambda k=key: _png(k), key=key) for key in keys]):  # type: ignore[misc]
        if added.error is not None:
            raise added.error


def _or_say(run: Callable[[int], None], thread: int, say: Callable[..., None]) -> None:
    try:
        run(thread)
    except Exception as error:  # noqa: BLE001, it fails the test
        say("failed", f"{type(error).__name__}: {error}", ())


def is_refused(place: Place) -> bool:
    """Whether another process is told that the gallery is in use."""
    return "Another process has the gallery" in told_by(_try_to_open, place)


def _try_to_open(place: Place) -> str:
    try:
        place.open()
    except GalleryInUse as error:
        return str(error)
    return "it was opened"


def told_by(function: Callable[..., str], *arguments: Any) -> str:
    """What a function returns in a process of its own."""
    told, tell = _context().Pipe(duplex=False)
    process = _context().Process(target=_tell, args=(tell, function, arguments))
    process.start()
    tell.close()
    answer: str = told.recv()
    process.join()
    return answer


def _tell(tell: Connection, function: Callable[..., str], arguments: tuple[Any, ...]) -> None:
    tell.send(function(*arguments))


def kill_many(place: Place, kills: int, seed: int, seconds: float) -> int:
    """Kill -9 at random moments, `kills` times; after each, check. How much was acknowledged.

    seconds: the longest that a process is let work.
    """
    moments = random.Random(seed)
    model = Model()
    for turn in range(kills):
        _work_until_killed(place, model, seed * 1000 + turn, moments.uniform(0, seconds))
    _work_until_killed(place, model, 0, 0)  # for its check
    return model.done


def _work_until_killed(place: Place, model: Model, seed: int, seconds: float) -> None:
    told, tell = _context().Pipe(duplex=False)
    process = _context().Process(target=work, args=(place, tell, model, seed))
    process.start()
    tell.close()
    state, _, there = _heard(told)
    assert state == "checked"
    model.there, model.open = set(there), set()
    killer = threading.Timer(seconds, process.kill)
    killer.start()
    with suppress(EOFError):
        while True:
            model.hear(_heard(told))
    killer.join()
    process.join()
    assert process.exitcode == -9, "it ended by itself"


def _heard(told: Connection) -> Word:
    word: Word = told.recv()
    assert word[0] != "failed", word[1]
    return word


@cache
def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.killing", "milvus_lite.server_manager", "faiss"])
    return context
