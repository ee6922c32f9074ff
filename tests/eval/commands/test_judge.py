"""`judge` from images to figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bogv.judgements import PoolFolder
from tests.eval.support.judging import confusable, judge_by_labels
from tests.eval.support.retrieval import Eval

SETTINGS = ("", "--crop squash")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return confusable(tmp_path / "mine")


def make_pool(run_eval: Eval, images: Path, *more: str | Path) -> None:
    settings = [word for setting in SETTINGS for word in ("--setting", setting)]
    assert run_eval("judge", "pool", "--root", images, *settings, *more) == 0


def run_per_query(run_eval: Eval, out: Path, *arguments: str | Path) -> pd.DataFrame:
    """The queries' figures that `run` gives."""
    assert run_eval("run", *arguments, "--no-losses", "--k", "10", "--out", out) == 0
    [written] = out.iterdir()
    return pd.read_parquet(written / "per_query.parquet").set_index("query")


def test_thirty_queries_judged_from_labels_have_the_labels_own_precision(
    run_eval: Eval, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "judge" / "folder"
    make_pool(run_eval, images)
    judge_by_labels(folder)
    assert run_eval("judge", "score", folder) == 0
    result = json.loads((folder / "score" / "judge.json").read_text())
    table = pd.read_parquet(folder / "score" / "per_query.parquet")
    assert result["n"] == 30
    for label, setting in zip("AB", SETTINGS, strict=True):
        root = ("--dataset", "folder", "--root", images)
        by_labels = run_per_query(run_eval, tmp_path / label, *root, *setting.split())
        judged = table[table["setting"] == label].set_index("query")["precision@10"]
        assert len(judged) == 30
        assert judged.tolist() == by_labels.loc[judged.index, "precision@10"].tolist()
        assert 0.3 < judged.mean() < 0.6
        assert result["metrics"][f"precision@10/{label}"]["value"] == pytest.approx(judged.mean())
    a, b = (table[table["setting"] == label]["precision@10"].to_numpy() for label in "AB")
    assert (a != b).any()
    [compared] = [each for each in result["comparisons"] if each["metric"] == "precision@10"]
    assert compared["difference"] == pytest.approx(float(np.mean(b - a)))


def test_a_judged_pool_is_a_dataset_for_run(run_eval: Eval, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    make_pool(run_eval, images, "--out", folder)
    judge_by_labels(folder)
    assert run_eval("judge", "score", folder) == 0
    table = pd.read_parquet(folder / "score" / "per_query.parquet")
    judged = table[table["setting"] == "A"].set_index("query")["precision@10"]
    arguments = ("--dataset", "judged", "--root", folder)
    found = run_per_query(run_eval, tmp_path / "runs", *arguments)["precision@10"]
    assert judged[found.index].tolist() == found.tolist()
    assert set(judged.index) - set(found.index) == set(judged.index[judged == 0])


def test_runs_are_pooled_as_their_settings_are(
    run_eval: Eval, images: Path, tmp_path: Path
) -> None:
    arguments = ("--dataset", "folder", "--root", images, "--no-losses", "--out", tmp_path / "r")
    for setting in SETTINGS:
        assert run_eval("run", *arguments, "--trec", *setting.split()) == 0
    runs = sorted((tmp_path / "r").iterdir(), key=lambda path: "squash" in path.name)
    options = [word for path in runs for word in ("--run", path)]
    assert run_eval("judge", "pool", *options, "--out", tmp_path / "of runs") == 0
    make_pool(run_eval, images, "--out", tmp_path / "of settings")
    pools = [PoolFolder(tmp_path / name).read_pool() for name in ("of runs", "of settings")]
    assert pools[0] == pools[1]
    for name in ("run-A.trec", "run-B.trec", "dataset.json"):
        texts = [(tmp_path / f"of {kind}" / name).read_text() for kind in ("runs", "settings")]
        assert texts[0] == texts[1]


def test_a_pool_says_nothing_of_settings_where_the_judge_sees_it(
    run_eval: Eval, images: Path, tmp_path: Path
) -> None:
    make_pool(run_eval, images, "--out", tmp_path / "pool", "--queries", "4")
    text = (tmp_path / "pool" / "pool.json").read_text()
    assert set(json.loads(text)) == {"schema_version", "seed", "queries", "thumbnails"}
    assert "squash" not in text
    assert "fake" not in text


def test_the_same_seed_makes_the_same_pool_and_another_another(
    run_eval: Eval, images: Path, tmp_path: Path
) -> None:
    texts = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        make_pool(run_eval, images, "--out", tmp_path / name, "--seed", seed)
        texts.append((tmp_path / name / "pool.json").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_what_is_not_judged_is_told(
    run_eval: Eval, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pool"
    make_pool(run_eval, images, "--out", folder)
    capsys.readouterr()
    assert run_eval("judge", "score", folder) == 2
    assert "Nothing is judged" in capsys.readouterr().err
    first = PoolFolder(folder).read_pool().queries[0]
    judge_by_labels(folder, len(first.images) + 1)
    assert run_eval("judge", "score", folder, "--json") == 0
    out, err = capsys.readouterr()
    result: dict[str, Any] = json.loads(out)
    assert (result["n"], result["queries"]) == (2, 30)
    assert "CAUTION: 28 of 30 queries have no judgement" in err
    assert "are not judged yet" in err
    [a, _] = result["settings"]
    assert 8 <= a["unjudged"]["10"] <= 10
    low, high = a["bounds"]["precision@10"]
    assert low == result["metrics"]["precision@10/A"]["value"]
    assert high == pytest.approx(low + a["unjudged"]["10"] / 20)
    assert "CAUTION" in (folder / "score" / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pool", "--root", "/nowhere"], "There is no folder '/nowhere'."),
        (["pool", "--setting", "--size"], "must be options with their values"),
        (["pool", "--setting", "--colour red"], "not --colour"),
        (["pool", "--setting", "--size 300"], "multiple of 32"),
        (["pool", "--setting", "--crop middle"], "crop: Input should be"),
        (["pool", "--run", "/nowhere"], "There is no complete result in /nowhere"),
        (["score", "/nowhere"], "There is no pool to score in /nowhere"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    run_eval: Eval, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_eval("judge", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("eval: ")
    assert message in err.splitlines()[-1]


def test_a_pool_is_never_overwritten(
    run_eval: Eval, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for status in (0, 2):
        arguments = ("--root", images, "--out", tmp_path / "pool", "--queries", "2")
        assert run_eval("judge", "pool", *arguments) == status
    assert "There is a pool in" in capsys.readouterr().err
