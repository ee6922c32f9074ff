from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from eval.data.judged import PoolSource
from eval.errors import WorkbenchError
from eval.judging.pooling import (
    Ranked,
    draw_queries,
    make_pool,
    read_settings_file,
    run_path,
    with_queries,
    write_pool,
)
from eval.report.results import weights_part
from eval.retrieval.trec import read_rankings
from tests.eval.support.judging import confusable
from tests.eval.support.retrieval import DECODER

WEIGHTS = weights_part("custom", "fake0000")


def ranked(name: str, **rankings: str) -> Ranked:
    return Ranked(name, WEIGHTS, {query: list(images) for query, images in rankings.items()})


TWO = [ranked("one", q="abcd", r="dcba"), ranked("two", q="bdef", r="dcbx")]


def test_each_image_is_pooled_once_and_no_deeper_than_asked() -> None:
    pool, settings = make_pool(["r", "q"], TWO, depth=2, seed=0)
    assert [each.query for each in pool.queries] == ["r", "q"]
    assert [sorted(each.images) for each in pool.queries] == [["c", "d"], ["a", "b", "d"]]
    assert (settings.depth, [each.label for each in settings.settings]) == (2, ["A", "B"])
    assert set(pool.thumbnails) == set("abcdqr")


def test_the_order_depends_on_the_seed_and_not_on_the_settings() -> None:
    def orders(seed: int, *found: Ranked) -> list[list[str]]:
        return [each.images for each in make_pool(["q", "r"], found, 4, seed)[0].queries]

    assert orders(0, *TWO) == orders(0, *TWO[::-1])
    assert len({str(orders(seed, *TWO)) for seed in range(5)}) > 1
    first = Counter(orders(seed, *TWO)[0][0] for seed in range(300))
    assert set(first) == set("abcdef")
    assert min(first.values()) > 20  # a sixth of 300 each


def test_a_gallery_smaller_than_the_depth_is_pooled_as_a_whole() -> None:
    pool, settings = make_pool(["q"], [ranked("one", q="abc")], depth=10, seed=0)
    assert (sorted(pool.queries[0].images), settings.depth) == (["a", "b", "c"], 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "1 to 26 settings"),
        ([TWO[0], TWO[0]], "each of them once"),
        ([TWO[0], ranked("short", q="ab", r="ab")], "different depths, 4, 2"),
        ([ranked("none", q="", r="")], "No setting has found anything"),
    ],
)
def test_settings_that_can_not_be_pooled_are_refused(settings: list[Ranked], message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        make_pool(["q", "r"], settings, 4, seed=0)


def test_queries_are_drawn_by_the_seed_alone(tmp_path: Path) -> None:
    dataset = load("folder", confusable(tmp_path))
    drawn = draw_queries(dataset, 30, seed=0)
    assert len(set(drawn)) == 30
    assert drawn == draw_queries(with_queries(dataset, dataset.queries[::-1]), 30, seed=0)
    assert drawn != draw_queries(dataset, 30, seed=1)
    assert drawn[:10] == draw_queries(dataset, 10, seed=0)
    among = {dataset.items[7].id}
    assert draw_queries(dataset, 30, 0, among) == [7]
    with pytest.raises(DatasetError, match="no query that all settings"):
        draw_queries(dataset, 30, 0, set())


def test_a_written_pool_is_whole_and_an_interrupted_one_is_written_anew(tmp_path: Path) -> None:
    dataset = load("folder", confusable(tmp_path / "mine", classes=2, size=3))
    ids = [item.id for item in dataset.items]
    found = [Ranked("one", WEIGHTS, {ids[0]: ids[1:4]})]
    made = make_pool([ids[0]], found, 2, seed=0)
    source = PoolSource(dataset="folder", root=tmp_path / "mine")
    (tmp_path / "pool" / "thumbnails").mkdir(parents=True)  # what a killed one left
    write_pool(tmp_path / "pool", made, found, source, dataset, DECODER)
    settings = read_settings_file(tmp_path / "pool")
    assert settings == made[1]
    rankings = read_rankings(run_path(tmp_path / "pool", settings.settings[0]))
    assert rankings == {ids[0]: ids[1:3]}
    thumbnails = sorted((tmp_path / "pool" / "thumbnails").iterdir())
    assert [path.name for path in thumbnails] == ["00001.webp", "00002.webp", "00003.webp"]
    assert all(path.read_bytes()[8:12] == b"WEBP" for path in thumbnails)
    with pytest.raises(WorkbenchError, match="There is a pool"):
        write_pool(tmp_path / "pool", made, found, source, dataset, DECODER)


def test_an_image_that_can_not_be_read_is_named_and_leaves_no_pool(tmp_path: Path) -> None:
    dataset = load("folder", confusable(tmp_path / "mine", classes=2, size=3))
    ids = [item.id for item in dataset.items]
    found = [Ranked("one", WEIGHTS, {ids[0]: ids[1:4]})]
    (tmp_path / "mine" / ids[1]).write_bytes(b"no image")
    source = PoolSource(dataset="folder", root=None)
    with pytest.raises(DatasetError, match=ids[1]):
        write_pool(
            tmp_path / "pool", make_pool([ids[0]], found, 2, 0), found, source, dataset, DECODER
        )
    assert not (tmp_path / "pool" / "pool.json").exists()
