"""Pools and judgements on disk."""

from __future__ import annotations

import doctest
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bogv import judgements
from bogv.errors import InvalidValue, NotFound, StorageUnavailable
from bogv.judgements import (
    NOT,
    PARTLY,
    QRELS,
    RELEVANT,
    Grade,
    Pair,
    Pool,
    PoolFolder,
    escape_id,
    list_pools,
    unescape_id,
)
from tests.support.judging import write_pool

PAIRS = [Pair("q 1", "a"), Pair("q 1", "鞋"), Pair("q2", "a")]


@pytest.fixture
def pool(tmp_path: Path) -> PoolFolder:
    return write_pool(tmp_path / "mine", {"q 1": ["a", "鞋"], "q2": ["a"]})


def test_the_examples_hold() -> None:
    failed, tried = doctest.testmod(judgements)
    assert (failed, tried > 0) == (0, True)


def test_a_pool_lists_its_pairs_query_by_query(pool: PoolFolder) -> None:
    assert pool.read_pool().pairs == PAIRS
    assert pool.read_judgements() == {}


def test_judgements_are_qrels_and_the_last_of_a_pair_counts(pool: PoolFolder) -> None:
    grades: tuple[Grade, ...] = (RELEVANT, PARTLY, NOT)
    for pair, grade in zip(PAIRS, grades, strict=True):
        pool.judge(pair, grade)
    pool.judge(PAIRS[0], NOT)
    text = (pool.path / QRELS).read_text("ascii")
    assert text == "q%201 0 %E9%9E%8B 1\nq2 0 a 0\nq%201 0 a 0\n"
    assert pool.read_judgements() == {PAIRS[1]: 1, PAIRS[2]: 0, PAIRS[0]: 0}


def test_of_a_pair_that_a_file_has_twice_the_last_line_counts(pool: PoolFolder) -> None:
    (pool.path / QRELS).write_text("q2 0 a 2\nq%201 0 a 1\nq2 Q0 a 0\n")
    assert list(pool.read_judgements().items()) == [(PAIRS[0], 1), (PAIRS[2], 0)]


def test_undo_takes_back_the_last_judgement_until_there_is_none(pool: PoolFolder) -> None:
    pool.judge(PAIRS[0], RELEVANT)
    pool.judge(PAIRS[1], NOT)
    assert pool.undo() == PAIRS[1]
    assert pool.read_judgements() == {PAIRS[0]: 2}
    assert pool.undo() == PAIRS[0]
    assert pool.undo() is None


@pytest.mark.parametrize("line", ["q 0 a", "q 0 a 3", "q 0 a 1 x", "q 0 a 1.0", "q 0 é 1", ""])
def test_a_damaged_line_is_an_error_and_is_not_overwritten(pool: PoolFolder, line: str) -> None:
    path = pool.path / QRELS
    path.write_text(f"q2 0 a 2\n{line}\n", "utf-8")
    before = path.read_bytes()
    with pytest.raises(StorageUnavailable, match=QRELS):
        pool.judge(PAIRS[0], RELEVANT)
    assert path.read_bytes() == before


def test_a_write_that_fails_leaves_the_judgements_as_they_were(
    pool: PoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool.judge(PAIRS[0], RELEVANT)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageUnavailable, match="No space left"):
        pool.judge(PAIRS[1], RELEVANT)
    assert pool.read_judgements() == {PAIRS[0]: 2}
    assert {path.name for path in pool.path.iterdir()} == {"pool.json", "thumbnails", QRELS}


def test_judges_who_judge_at_once_lose_nothing(pool: PoolFolder) -> None:
    def judge_many(query: str) -> None:
        for number in range(20):
            PoolFolder(pool.path).judge(Pair(query, f"{number}"), RELEVANT)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(judge_many, "abc"))
    assert len(pool.read_judgements()) == 60


def test_only_grades_are_stored(pool: PoolFolder) -> None:
    grade: Any = 3
    with pytest.raises(InvalidValue, match="0, 1 or 2"):
        pool.judge(PAIRS[0], grade)


def test_a_folder_without_a_pool_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no pool 'none'"):
        PoolFolder(tmp_path / "none").read_pool()
    with pytest.raises(NotFound, match="no pool 'none'"):
        PoolFolder(tmp_path / "none").judge(PAIRS[0], NOT)


def test_a_damaged_pool_is_an_error_that_says_where(pool: PoolFolder) -> None:
    (pool.path / "pool.json").write_text('{"seed": 0, "queries": [], "thumbnails": {}}')
    with pytest.raises(StorageUnavailable, match=r"pool.json is damaged: queries"):
        pool.read_pool()


@pytest.mark.parametrize(
    ("images", "thumbnails", "message"),
    [
        (["a", "a"], {"q": "1.webp", "a": "2.webp"}, "judged twice"),
        (["a"], {"q": "1.webp"}, "no thumbnail of 'a'"),
        (["a"], {"q": "1.webp", "a": "../../token"}, "pattern"),
    ],
)
def test_a_pool_that_makes_no_sense_is_refused(
    images: list[str], thumbnails: dict[str, str], message: str
) -> None:
    queries = [{"query": "q", "images": images}]
    with pytest.raises(ValidationError, match=message):
        Pool.model_validate({"seed": 0, "queries": queries, "thumbnails": thumbnails})


def test_pools_are_listed_with_the_one_judged_last_first(tmp_path: Path) -> None:
    assert list_pools(tmp_path / "none") == []
    for name in ("a", "b", "c"):
        write_pool(tmp_path / name, {"q": ["a"]})
    (tmp_path / "no pool").mkdir()
    PoolFolder(tmp_path / "b").judge(Pair("q", "a"), NOT)
    assert list_pools(tmp_path) == ["b", "a", "c"]


@pytest.mark.parametrize(
    "name", ["a b", "a%20b", "a\tb\nc", "鞋/é.jpg", "\udcff.jpg", "'\"|#?", "", "\u3000 \u2028"]
)
def test_an_escaped_id_is_one_word_of_ascii_and_comes_back(name: str) -> None:
    escaped = escape_id(name)
    assert escaped.isascii()
    assert escaped.split() == ([escaped] if name else [])
    assert unescape_id(escaped) == name
