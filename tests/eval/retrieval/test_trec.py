from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bogv.judgements import unescape_id
from eval.data.datasets import load
from eval.errors import WorkbenchError
from eval.retrieval import measure as running
from eval.retrieval.measure import RetrievalOutcome
from eval.retrieval.trec import (
    QRELS,
    TREC_RUN,
    decreasing_steps,
    read_rankings,
    write_rankings,
)
from tests.eval.support.retrieval import first_is_junk, measured


def written(outcome: RetrievalOutcome, folder: Path, tag: str = "a tag") -> tuple[Path, Path]:
    assert outcome.rankings is not None
    for name, write in outcome.rankings.files(outcome.dataset, tag).items():
        write(folder / name)
    return folder / TREC_RUN, folder / QRELS


def read_run(path: Path) -> dict[str, list[str]]:
    """Each query's images, by the score alone and as trec_eval does: in float32, ties by id."""
    scored: dict[str, list[tuple[np.float32, str]]] = defaultdict(list)
    for line in path.read_text("ascii").splitlines():
        query, q0, image, _, score, tag = line.split()
        assert (q0, tag) == ("Q0", "a%20tag")
        scored[query].append((np.float32(score), image))
    return {query: [image for _, image in sorted(found)[::-1]] for query, found in scored.items()}


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text("ascii").splitlines():
        query, zero, image, grade = line.split()
        assert zero == "0"
        assert image not in grades[query]
        grades[query][image] = int(grade)
    return grades


def precision(ranked: list[str], grades: dict[str, int], k: int) -> float:
    return sum(grades.get(image, 0) for image in ranked[:k]) / k


def average_precision(ranked: list[str], grades: dict[str, int]) -> float:
    at = [k for k, image in enumerate(ranked, 1) if grades.get(image)]
    return sum(precision(ranked, grades, k) for k in at) / sum(grades.values())


@pytest.mark.parametrize("backend", ["exact", "milvus"])
def test_the_metrics_of_the_run_come_out_of_the_two_files(
    class_folders: Path, tmp_path: Path, backend: str
) -> None:
    outcome = measured(tmp_path, "folder", root=class_folders, backend=backend, depth=1000)
    run, qrels = written(outcome, tmp_path)
    rankings, grades = read_run(run), read_qrels(qrels)
    assert rankings.keys() == grades.keys()
    assert len(rankings) == outcome.run.n == 16
    metrics = outcome.run.metrics
    assert 0 < metrics["map"].value < 1
    found = [average_precision(rankings[query], grades[query]) for query in rankings]
    assert np.mean(found) == pytest.approx(metrics["map"].value, abs=1e-12)
    for k in (1, 5, 10):
        precisions = [precision(rankings[query], grades[query], k) for query in rankings]
        assert np.mean(precisions) == pytest.approx(metrics[f"precision@{k}"].value, abs=1e-12)


def test_similar_scores_are_read_in_the_order_of_the_run(tmp_path: Path) -> None:
    outcome = measured(tmp_path, "digits", limit=60, depth=59)
    run, _ = written(outcome, tmp_path)
    by_rank: dict[str, list[str]] = defaultdict(list)
    for line in run.read_text("ascii").splitlines():
        query, _, image, rank, *_ = line.split()
        by_rank[query].append(image)
        assert int(rank) == len(by_rank[query])
    assert read_run(run) == by_rank
    assert {query: images[:10] for query, images in by_rank.items()} == {
        each.query: each.top_ids for each in outcome.query_results
    }


def test_the_depth_is_the_number_of_ranks_and_relevant_images_below_it_are_judged(
    class_folders: Path, tmp_path: Path
) -> None:
    run, qrels = written(measured(tmp_path, "folder", root=class_folders, depth=2), tmp_path)
    grades = read_qrels(qrels)
    for query, ranked in read_run(run).items():
        assert len(ranked) == 2
        assert query not in ranked
        assert sum(grades[query].values()) == 3
        assert set(ranked) <= grades[query].keys()
    assert [line.split()[3] for line in run.read_text().splitlines()] == ["1", "2"] * 16


def test_junk_is_in_neither_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load("folder", folder)
    truth = first_is_junk(plain)
    monkeypatch.setattr(running, "load", lambda *_, **__: replace(plain, truth=truth))
    run, qrels = written(measured(tmp_path, "folder", root=folder, depth=100), tmp_path)
    ranked, grades = read_run(run), read_qrels(qrels)
    query, junk = "class%200/q20.jpg", "class%200/q45.jpg"
    assert truth[plain.queries[0]].junk == (1,)
    assert plain.items[1].id == unescape_id(junk)
    assert junk not in ranked[query]
    assert grades[query]["class%200/q70.jpg"] == 1
    assert {junk, query}.isdisjoint(grades[query])
    assert len(ranked[query]) == len(grades[query]) == 14


def test_scores_that_float32_cannot_tell_apart_decrease_all_the_same() -> None:
    scores = np.array([1 + 1e-12, 1, 1, 0.999999995, 0.9, 0.5, 0, 0, 0, -0.5, -0.5])
    steps = decreasing_steps(scores)
    as_read = (steps / (1 << 24)).astype(np.float32)
    assert (np.diff(as_read) < 0).all()
    assert np.abs(as_read - scores).max() < 4 / (1 << 24)
    assert [np.float32(f"{value / (1 << 24):.9g}") for value in steps] == as_read.tolist()


def test_written_rankings_are_read_again(tmp_path: Path) -> None:
    rankings = {"a b": ["鞋", "b", "c%20"], "q": ["a b"]}
    write_rankings(tmp_path / "run", rankings, "a tag")
    assert read_rankings(tmp_path / "run") == rankings
    assert read_run(tmp_path / "run") == {
        "a%20b": ["%E9%9E%8B", "b", "c%2520"],
        "q": ["a%20b"],
    }


def test_a_run_is_read_by_its_scores_and_ties_by_the_last_id(tmp_path: Path) -> None:
    lines = [
        *("q Q0 a 1 0.5 t", "q Q0 b 2 0.5 t", "q Q0 c 3 0.9 t"),
        "q Q0 d 4 0.500000001 t",  # the same in float32
    ]
    (tmp_path / "run").write_text("\n".join(lines))
    assert read_rankings(tmp_path / "run") == {"q": ["c", "d", "b", "a"]}


@pytest.mark.parametrize("text", ["q Q0 a 1 0.5", "q Q0 a 1 high t", "q Q0 é 1 0.5 t"])
def test_what_is_no_run_is_a_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run").write_text(text, "utf-8")
    with pytest.raises(WorkbenchError, match="no TREC run that can be read"):
        read_rankings(tmp_path / "run")
