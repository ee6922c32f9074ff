"""A judged pool as a dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.judgements import NOT, PARTLY, RELEVANT, Pair, PoolFolder
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset, load
from eval.data.items import LayoutError
from eval.data.judged import DATASET, PoolSource, read_source
from tests.eval.support.datasets import classes, found
from tests.support.judging import write_pool

A, B, C = "cat/000.png", "cat/001.png", "dog/000.png"


@pytest.fixture
def pool(tmp_path: Path) -> PoolFolder:
    source = PoolSource(dataset="folder", root=classes(tmp_path / "mine", cat=3, dog=2))
    pool = write_pool(tmp_path / "pool", {A: [B, C], C: [A], B: [A]})
    (pool.path / DATASET).write_text(source.model_dump_json())
    return pool


def index_of(dataset: Dataset, name: str) -> int:
    return [item.id for item in dataset.items].index(name)


def test_what_was_judged_relevant_is_and_partly_is_not(pool: PoolFolder) -> None:
    pool.judge(Pair(A, B), PARTLY)
    pool.judge(Pair(A, C), RELEVANT)
    pool.judge(Pair(C, A), NOT)
    dataset = load("judged", pool.path)
    assert {dataset.items[query].id for query in dataset.queries} == {A, C}
    assert found(dataset, index_of(dataset, A)) == {C}
    assert found(dataset, index_of(dataset, C)) == set()
    assert (len(dataset.gallery), dataset.unit_name) == (5, "query")
    assert {item.label for item in dataset.items} == {None}
    assert dataset.items[0].read()


def test_the_folder_above_is_found_too(
    pool: PoolFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    pool.judge(Pair(A, B), RELEVANT)
    assert load("judged", pool.path.parent).root == pool.path
    assert "judged is not in" in capsys.readouterr().err


def test_a_pool_without_a_judgement_is_an_error(pool: PoolFolder) -> None:
    with pytest.raises(DatasetError, match="Nothing is judged in"):
        load("judged", pool.path)


def test_an_image_that_is_gone_is_an_error_that_names_it(pool: PoolFolder, tmp_path: Path) -> None:
    pool.judge(Pair(A, C), RELEVANT)
    (tmp_path / "mine" / C).unlink()
    with pytest.raises(DatasetError, match=f"1 judged images are missing, such as '{C}'"):
        load("judged", pool.path)


def test_a_damaged_file_is_an_error_that_names_the_dataset(pool: PoolFolder) -> None:
    (pool.path / "judgements.qrels").write_text("nonsense\n")
    with pytest.raises(DatasetError, match=r"^Dataset judged: judgements.qrels, line 1"):
        load("judged", pool.path)
    (pool.path / DATASET).write_text("{}")
    with pytest.raises(DatasetError, match=DATASET):
        load("judged", pool.path)
    with pytest.raises(LayoutError, match="can't be read"):
        read_source(pool.path)


def test_without_a_folder_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOGV_DATASETS", "/anywhere")
    with pytest.raises(DatasetError, match="--root"):
        load("judged")
