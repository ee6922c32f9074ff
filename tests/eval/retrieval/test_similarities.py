from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.retrieval.similarities import Similarities, coarse, quantile
from tests.eval.support.retrieval_report import measured


def test_pairs_are_counted_as_all_of_them_would_be(class_folders: Path, tmp_path: Path) -> None:
    outcome = measured(class_folders, tmp_path)
    found = outcome.similarities
    # 16 images search the 15 others, of which 3 are relevant.
    assert (found.relevant.sum(), found.irrelevant.sum()) == (48, 192)
    rng = np.random.default_rng(0)
    scores, rel = rng.uniform(-0.2, 0.9, 4001), rng.random(4001) < 0.3
    scores[rel] += 0.1
    tally = Similarities()
    for part in np.array_split(np.arange(4001), 7):
        tally.add(scores[part], rel[part])
    assert quantile(tally.relevant, 0.5) == pytest.approx(
        np.quantile(scores[rel], 0.5, method="inverted_cdf"), abs=1e-5
    )
    from sklearn.metrics import roc_auc_score

    assert tally.auc == pytest.approx(roc_auc_score(rel, scores), abs=1e-4)
    edges = tally.edges()
    assert 60 <= edges.size <= 63
    assert np.diff(edges) == pytest.approx(np.full(edges.size - 1, edges[1] - edges[0]))
    counts, _ = np.histogram(scores[~rel], edges)
    assert coarse(tally.irrelevant, edges) == pytest.approx(100 * counts / (~rel).sum(), abs=0.1)
    assert coarse(tally.relevant, edges).sum() == pytest.approx(100, abs=0.2)


def test_cosines_a_rounding_step_beyond_1_are_counted_too() -> None:
    tally = Similarities()
    tally.add(np.array([1 + 1e-9, -1 - 1e-9]), np.array([True, False]))
    assert (quantile(tally.relevant, 0.5), quantile(tally.irrelevant, 0.5)) == (1, -1)
    edges = tally.edges()
    assert edges[0] < -1
    assert edges[-1] > 1
    assert coarse(tally.relevant, edges).sum() == coarse(tally.irrelevant, edges).sum() == 100


def test_pairs_that_are_all_alike_have_a_histogram_too() -> None:
    tally = Similarities()
    tally.add(np.full(5, 0.25), np.array([True, False, False, False, False]))
    assert tally.auc == 0.5
    assert quantile(tally.relevant, 0.5) == pytest.approx(0.25)
    assert coarse(tally.irrelevant, tally.edges()).tolist().count(100) == 1
