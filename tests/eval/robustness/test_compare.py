from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import Weights
from bogv.records import Pixels, Vectors
from eval.errors import WorkbenchError
from eval.report.results import PER_QUERY, write
from eval.robustness.compare import compare_robustness
from eval.robustness.report import robustness_report
from eval.robustness.result import edited_query_table
from tests.eval.support.retrieval import DECODER
from tests.eval.support.robustness import measured
from tests.support.fakes import FakeEngine, fake_embedder


class Coarse(FakeEngine):
    """Sees the mean colours of the four quarters and no more."""

    def compute(self, pixels: Pixels) -> Vectors:
        half = pixels.shape[1] // 2
        grid = pixels.reshape(len(pixels), 2, half, 2, half, 3).mean(axis=(2, 4))
        vectors = np.ones((len(pixels), 2048), np.float32)
        vectors[:, :12] = grid.reshape(len(pixels), 12)
        return vectors


def written(root: Path, out: Path, embedder: Embedder | None = None) -> Path:
    outcome = measured(root, embedder or fake_embedder(), edits=["mirror", "rotate"])
    table = edited_query_table(outcome.query_results)
    return write(out, outcome.result, {PER_QUERY: table}, robustness_report(outcome, DECODER))


def test_results_are_compared_edited_image_by_edited_image(
    photo_folder: Path, tmp_path: Path
) -> None:
    a = written(photo_folder, tmp_path / "a")
    coarse = Embedder(Weights("custom", None, "coarse00"), Coarse())
    b = written(photo_folder, tmp_path / "b", coarse)
    [worse] = compare_robustness(a, [b], [], 0.0)
    assert (worse.metric, worse.difference.units) == ("hit_rate@1", 12)
    assert worse.n == 12 * sum(map(len, worse.a.conditions["edits"].values()))
    assert worse.after < worse.before
    [better] = compare_robustness(b, [a], ["mrr"], 0.0)
    assert better.verdict == "not worse"


def test_a_metric_of_a_single_edit_is_rejected(photo_folder: Path, tmp_path: Path) -> None:
    a = written(photo_folder, tmp_path)
    with pytest.raises(WorkbenchError, match="no metric 'hit_rate@1/rotate'"):
        compare_robustness(a, [a], ["hit_rate@1/rotate"], 0.0)
