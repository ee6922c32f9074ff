"""The search for close pairs goes on where it ended, and with what has changed since."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bogv.duplicates import close_pairs, hamming
from bogv.duplicates.close_pairs import ClosePairs, Md5s
from bogv.errors import StorageUnavailable
from bogv.storage.hamming import Words, as_words

RANDOM = np.random.default_rng(1)
COUNT = 40
BLOCK = 8


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(close_pairs, "BLOCK", BLOCK)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many hashes were compared with others, block by block."""
    counts: list[int] = []
    find = hamming.find_close

    def counting(left: Words, right: Words, limit: int) -> object:
        counts.append(len(left))
        return find(left, right, limit)

    monkeypatch.setattr(close_pairs, "find_close", counting)
    return counts


def table(count: int = COUNT) -> tuple[Md5s, Words]:
    """Every third hash is 2 bits from the one before it."""
    bits = RANDOM.integers(0, 2, (count, 256), np.uint8)
    bits[2::3] = bits[1::3][: len(bits[2::3])]
    bits[2::3, :2] ^= 1
    md5s = np.array([f"{i:032x}" for i in range(count)], "S32")
    return md5s, as_words(np.packbits(bits, axis=1))


PLANTED = [(i - 1, i, 2) for i in range(2, COUNT, 3)]


def find(
    path: Path,
    md5s: Md5s,
    words: Words,
    stop: threading.Event | None = None,
    report: Callable[[int, int], None] = lambda *_: None,
) -> tuple[list[tuple[int, int, int]], bool]:
    pairs, complete = ClosePairs(path, 31).find(md5s, words, stop or threading.Event(), report)
    columns = (pairs.left.tolist(), pairs.right.tolist(), pairs.distances.tolist())
    return sorted(zip(*columns, strict=True)), complete


def test_all_pairs_are_found_once_and_progress_ends_at_the_total(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = find(tmp_path / "p", *table(), report=lambda *numbers: told.append(numbers))
    assert found == (PLANTED, True)
    total = COUNT * (COUNT - 1) // 2
    assert (told[0], told[-1]) == ((0, total), (total, total))
    assert told == sorted(told)


def test_a_cancelled_search_goes_on_where_it_ended(tmp_path: Path, compared: list[int]) -> None:
    md5s, words = table()
    stop = threading.Event()
    some, complete = find(
        tmp_path / "p", md5s, words, stop, lambda done, _: stop.set() if done else None
    )
    assert not complete
    assert 0 < len(some) < len(PLANTED)
    before = sum(compared)
    assert find(tmp_path / "p", md5s, words) == (PLANTED, True)
    assert sum(compared) == COUNT
    assert before == 2 * BLOCK


def test_an_interruption_keeps_what_was_compared(tmp_path: Path, compared: list[int]) -> None:
    md5s, words = table()

    def interrupt(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find(tmp_path / "p", md5s, words, report=interrupt)
    compared.clear()
    assert find(tmp_path / "p", md5s, words) == (PLANTED, True)
    assert sum(compared) == COUNT - BLOCK


def test_only_what_is_new_is_compared_and_what_is_gone_is_forgotten(
    tmp_path: Path, compared: list[int]
) -> None:
    md5s, words = table()
    older = np.delete(np.arange(COUNT), [5, 12])
    find(tmp_path / "p", md5s[older], words[older])
    compared.clear()
    newer = np.delete(np.arange(COUNT), [8, 20])
    found, _ = find(tmp_path / "p", md5s[newer], words[newer])
    assert sum(compared) == 2
    names = [(int(newer[a]), int(newer[b]), d) for a, b, d in found]
    assert names == [pair for pair in PLANTED if not {8, 20} & set(pair)]


def test_a_hash_that_has_changed_is_compared_again(tmp_path: Path, compared: list[int]) -> None:
    md5s, words = table()
    find(tmp_path / "p", md5s, words)
    compared.clear()
    words[2] = ~words[2]
    assert find(tmp_path / "p", md5s, words)[0] == PLANTED[1:]
    assert sum(compared) == 1


def test_a_damaged_state_starts_anew(tmp_path: Path) -> None:
    md5s, words = table()
    find(tmp_path / "p", md5s, words)
    whole = (tmp_path / "p").read_bytes()
    for damaged in (b"", b"no archive", whole[: len(whole) // 2]):
        (tmp_path / "p").write_bytes(damaged)
        assert find(tmp_path / "p", md5s, words) == (PLANTED, True)


def test_of_too_many_pairs_the_closest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(close_pairs, "MAX_PAIRS", 3)
    md5s = table(6)[0]
    words = np.zeros((6, 4), np.uint64)
    words[:, 0] = [0, 1, 3, 7, 15, 31]  # i and j are |i - j| bits apart
    for _ in range(2):  # the second time from the file
        pairs, complete = ClosePairs(tmp_path / "p", 31).find(
            md5s, words, threading.Event(), lambda *_: None
        )
        assert (pairs.is_cut, complete, pairs.distances.tolist()) == (True, True, [1, 1, 1])
    fewer = np.array([0, 2, 4])
    assert find(tmp_path / "p", md5s[fewer], words[fewer])[0] == [(0, 1, 2), (0, 2, 4), (1, 2, 2)]


def test_a_state_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="state of the scan"):
        find(tmp_path / "file" / "p", *table())
