"""Metrics agree with scikit-learn, ranx and pytorch-metric-learning."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from eval.metrics import (
    average_precision,
    average_precision_trapezoid,
    count_relevant,
    graded_ndcg,
    judge,
    ndcg,
    order,
    score_query,
)
from eval.statistics.intervals import summarise
from tests.eval.support.metrics import Judged, judged, places


@st.composite
def whole(draw: st.DrawFn) -> Judged:
    """A judged ranking of the whole gallery, one relevant image at least."""
    found = np.array(draw(st.lists(st.booleans(), min_size=2, max_size=40)), dtype=bool)
    found[draw(st.integers(0, found.size - 1))] = True
    return found, int(found.sum())


@given(whole(), places)
def test_scikit_learn_agrees(case: Judged, k: int) -> None:
    ranking, total = case
    scores = -np.arange(ranking.size, dtype=float)
    ours = average_precision(ranking, total)
    assert ours == pytest.approx(average_precision_score(ranking, scores), abs=1e-9)
    theirs = ndcg_score(ranking[None].astype(int), scores[None], k=k)
    assert ndcg(ranking, total, k) == pytest.approx(theirs, abs=1e-9)


@given(judged())
def test_the_trapezoid_is_the_area_under_the_curve_that_starts_at_precision_1(
    case: Judged,
) -> None:
    """As the papers on Oxford define it, and revisitop's `compute_ap` sums up place by place."""
    ranking, total = case
    found = np.cumsum(ranking)
    recalls = np.concatenate([[0.0], found / total])
    precisions = np.concatenate([[1.0], found / np.arange(1, ranking.size + 1)])
    area = np.trapezoid(precisions, recalls)
    assert average_precision_trapezoid(ranking, total) == pytest.approx(area, abs=1e-9)


def test_ranx_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # compiling takes a minute, the sums no time
    from ranx import evaluate

    generator = np.random.default_rng(0)
    queries, gallery, ranked, total = 200, 40, 25, 6
    names = {  # ranx has no MAP@R; with as many relevant images for each query, it is map@6
        "hit_rate@5": "hit_rate@5",
        "recall@5": "recall@5",
        "precision@5": "precision@5",
        "precision@30": "precision@30",
        "ndcg@5": "ndcg@5",
        "ndcg@30": "ndcg@30",
        "r-precision": "r_precision",
        "map": "map",
        f"map@{total}": "map@r",
        "mrr": "mrr",
    }
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    ours: list[dict[str, float]] = []
    for query in range(queries):
        ids = np.array([f"image{image}" for image in generator.permutation(gallery)])
        relevant = generator.choice(ids, total, replace=False)
        qrels[f"{query:03}"] = dict.fromkeys(relevant.tolist(), 1)
        run[f"{query:03}"] = {str(name): 1.0 - i / 100 for i, name in enumerate(ids[:ranked])}
        ours.append(score_query(judge(ids[:ranked], relevant, None), total, ks=[5, 30]))
    theirs = evaluate(qrels, run, list(names), return_mean=False)
    for their_name, our_name in names.items():
        mine = [scores[our_name] for scores in ours]
        np.testing.assert_allclose(mine, theirs[their_name], rtol=0, atol=1e-9, err_msg=our_name)


def test_ranx_agrees_on_graded_relevance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    from ranx import evaluate

    generator = np.random.default_rng(1)
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    ours: dict[int, list[float]] = {5: [], 30: []}
    for query in range(50):
        grades = generator.integers(0, 3, 20)
        grades[0] = 2
        ranked = generator.permutation(20)[:12]
        qrels[f"{query:03}"] = {f"image{n}": int(grade) for n, grade in enumerate(grades)}
        run[f"{query:03}"] = {f"image{n}": 1.0 - i / 100 for i, n in enumerate(ranked)}
        for k, found in ours.items():
            found.append(graded_ndcg(grades[ranked], grades, k))
    names = [f"ndcg@{k}" for k in ours]
    theirs = evaluate(qrels, run, names, return_mean=False)
    for name, mine in zip(names, ours.values(), strict=True):
        np.testing.assert_allclose(mine, theirs[name], rtol=0, atol=1e-9)


def test_pytorch_metric_learning_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    # Where it finds faiss, it loads faiss' torch patches, and Milvus Lite's searches, which use
    # the same faiss, fail from then on.
    monkeypatch.setitem(sys.modules, "faiss", None)
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), [3, 5, 8, 13, 1])  # the last has no other: left out
    vectors = generator.normal(size=(labels.size, 8)).astype(np.float32)
    vectors += 0.5 * generator.normal(size=(5, 8)).astype(np.float32)[labels]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.arange(labels.size)
    ours: list[dict[str, float]] = []
    for query in ids[:-1]:
        ranked = ids[order(vectors @ vectors[query], ids)]
        relevant = ids[labels == labels[query]]
        found = judge(ranked, relevant, int(query))
        ours.append(score_query(found, count_relevant(relevant, int(query)), ks=[1]))
    assert count_relevant([29], query_id=29) == 0
    means = summarise(
        {name: [scores[name] for scores in ours] for name in ours[0]},
        None,
        labels[:-1],
        seed=0,
    )
    names = {  # theirs, ours, and how near: their reciprocal ranks are float32
        "precision_at_1": ("hit_rate@1", 1e-9),
        "r_precision": ("r_precision", 1e-9),
        "mean_average_precision": ("map", 1e-9),
        "mean_average_precision_at_r": ("map@r", 1e-9),
        "mean_reciprocal_rank": ("mrr", 1e-6),
    }
    for per_class in (False, True):
        calculator = AccuracyCalculator(
            include=tuple(names),
            avg_of_avgs=per_class,
            device=torch.device("cpu"),
            knn_func=CustomKNN(CosineSimilarity()),
            kmeans_func=lambda *_: None,
        )
        theirs = calculator.get_accuracy(torch.from_numpy(vectors), torch.from_numpy(labels))
        for their_name, (our_name, near) in names.items():
            mine = means[our_name + "_per_class" * per_class]["value"]
            assert mine == pytest.approx(theirs[their_name], abs=near), our_name
