"""`robustness`: what is asked, what counts as found, and what is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bogv.calibration.edits import CONTROL, EDITS, EditVariant
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION, Weights
from bogv.records import Pixels, Vectors
from eval.errors import WorkbenchError
from eval.retrieval.search import rank
from eval.robustness.measure import means
from eval.robustness.report import robustness_report, worst_queries
from eval.robustness.result import EditedQueryResult, edited_query_table, notes
from tests.eval.support.retrieval import DECODER
from tests.eval.support.robustness import measured, values
from tests.support.fakes import encoded, picture


class ConstantEngine:
    """A broken network: everything looks alike to it."""

    name = "constant"
    batch = 64

    def compute(self, pixels: Pixels) -> Vectors:
        return np.ones((len(pixels), DIMENSION), np.float32)

    compute_bulk = compute

    def compute_maps(self, pixels: Pixels) -> Vectors:
        return np.ones((len(pixels), 7, 7, DIMENSION), np.float32)


def test_mild_edits_find_their_original_and_half_a_turn_does_not(photo_folder: Path) -> None:
    found = values(measured(photo_folder, edits=["jpeg", "blur", "rotate"], sample=6))
    assert found["hit_rate@1/none"] == 1
    assert found["hit_rate@1/jpeg:75"] == found["hit_rate@1/blur:0.5"] == 1
    assert found["hit_rate@1/rotate:180"] < 0.5
    assert found["hit_rate@1/rotate:180"] <= found["hit_rate@5/rotate:180"]


def test_the_overall_figure_is_the_mean_over_edited_images_without_the_control(
    photo_folder: Path,
) -> None:
    outcome = measured(photo_folder, edits=["rotate", "mirror"], sample=5)
    queries = edited_query_table(outcome.query_results)
    made = queries[queries["edit"] != "none"]
    assert len(made) == outcome.result.n == 5 * 7
    found = values(outcome)
    for name in ("hit_rate@1", "hit_rate@5", "hit_rate@10", "mrr"):
        assert found[name] == pytest.approx(made[name].mean())
        assert found[f"{name}/rotate"] == pytest.approx(made[name][made["edit"] == "rotate"].mean())
    flipped = queries[(queries["edit"] == "mirror") & (queries["strength"] == "vertical")]
    assert found["mrr/mirror:vertical"] == pytest.approx((1 / flipped["rank"]).mean())
    ends = outcome.result.metrics["mrr"].ci95
    assert ends
    low, high = ends
    assert low < found["mrr"] < high


def test_intervals_are_over_originals_and_not_their_edits() -> None:
    """Two originals, one found by all of its edits, one by none: nothing is sure."""
    made = [EditVariant("crop", strength) for strength in EDITS["crop"].recipes]
    query_results = [
        EditedQueryResult(
            0, image, variant, None, None, None, [], [], {"hit_rate@1": float(image == "a")}
        )
        for image in "ab"
        for variant in (CONTROL, *made)
    ]
    mean = means(query_results, seed=0)["hit_rate@1"]
    assert (mean.value, mean.units) == (0.5, 2)
    assert mean.ci95 == pytest.approx((0.095, 0.905), abs=1e-3)  # Wilson's of one of two


def test_a_sample_is_edited_and_everything_is_searched(photo_folder: Path) -> None:
    outcome = measured(photo_folder, sample=4, edits=["mirror"], ks=[3])
    result = outcome.result
    assert (result.sample, result.gallery, result.n, result.k) == (4, 12, 8, [1, 3])
    assert len({query_result.image for query_result in outcome.query_results}) == 4
    assert max(len(query_result.top_ids) for query_result in outcome.query_results) == 10
    assert measured(photo_folder, sample=99, edits=["mirror"]).result.sample == 12
    others = measured(photo_folder, sample=4, edits=["mirror"], seed=1)
    assert {a.image for a in others.query_results} != {a.image for a in outcome.query_results}


def test_a_jpeg_of_the_original_is_another_image(photo_folder: Path) -> None:
    (photo_folder / "03 again.jpg").write_bytes(encoded(picture(3), "JPEG", quality=95))
    outcome = measured(photo_folder, edits=["jpeg"])
    assert outcome.result.sample_with_copies == 0
    assert notes(outcome.result) == []


def test_a_network_to_which_all_looks_alike_fails_the_control(photo_folder: Path) -> None:
    broken = Embedder(Weights("custom", None, "feed"), ConstantEngine())
    outcome = measured(photo_folder, broken, edits=["mirror"])
    assert outcome.result.sample_with_copies == 0
    assert values(outcome)["hit_rate@1/none"] == pytest.approx(1 / 12)
    [note] = notes(outcome.result)
    assert note.startswith("THE CONTROL FAILED: unedited images find themselves first in 8.3%")
    assert note in robustness_report(outcome, DECODER).lead


def test_milvus_finds_the_same_and_reports_the_depth(photo_folder: Path) -> None:
    exact, milvus = (
        measured(photo_folder, sample=3, edits=["mirror"], backend=backend)
        for backend in ("exact", "milvus")
    )
    assert values(milvus) == values(exact)
    assert (exact.result.depth, milvus.result.depth) == (None, 12)
    assert exact.result.folder != milvus.result.folder


def test_an_original_beyond_the_ranking_has_no_rank(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shallow(*arguments: Any) -> Any:
        for each in rank(*arguments):
            yield replace(each, found=each.found[:1], scores=each.scores[:1])

    monkeypatch.setattr("eval.robustness.measure.rank", shallow)
    outcome = measured(photo_folder, edits=["rotate"], sample=4)
    lost = [query_result for query_result in outcome.query_results if query_result.rank is None]
    assert lost
    assert {query_result.scores["mrr"] for query_result in lost} == {0}
    queries = edited_query_table(outcome.query_results)
    assert queries["rank"].isna().sum() == len(lost)
    assert worst_queries(outcome.query_results) == [lost[0]]
    shown = robustness_report(outcome, DECODER)
    assert "not found" in str(shown)


def test_a_second_run_embeds_nothing_and_gives_the_same_but_for_times(photo_folder: Path) -> None:
    first, second = (measured(photo_folder, edits=["crop", "text"], sample=3) for _ in range(2))
    assert first.new == 12 + 3 * 8  # the control is in the gallery
    assert second.new == 0
    assert second.result.model_dump(exclude={"seconds"}) == first.result.model_dump(
        exclude={"seconds"}
    )
    assert second.query_results == first.query_results


def test_only_the_gallery_of_a_dataset_with_roles_is_searched(
    photo_folder: Path,
) -> None:
    rows = [f"{n:02d}.png,{n},{'query' if n < 4 else 'gallery'}" for n in range(12)]
    (photo_folder / "labels.csv").write_text("\n".join(["path,label,role", *rows]))
    outcome = measured(photo_folder, edits=["mirror"])
    assert outcome.result.gallery == outcome.result.sample == 8
    assert min(query_result.image for query_result in outcome.query_results) == "04.png"


@pytest.mark.parametrize("more", [{"sample": 0}, {"ks": [0]}, {"ks": []}])
def test_options_below_their_minimum_are_rejected(photo_folder: Path, more: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match="at least 1"):
        measured(photo_folder, **more)
