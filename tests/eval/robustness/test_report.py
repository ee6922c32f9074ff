from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bogv.calibration.edits import CONTROL, EDITS, EditVariant, edit_variants
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import UNTRAINED, Weights
from eval.robustness.report import robustness_report, worst_queries
from eval.robustness.result import EditedQueryResult
from tests.eval.support.retrieval import DECODER
from tests.eval.support.robustness import measured
from tests.support.fakes import FakeEngine


def test_the_worst_are_failures_one_of_each_edit_the_worst_first() -> None:
    def query_result(edit: str, rank: int | None) -> EditedQueryResult:
        return EditedQueryResult(0, "a", EditVariant(edit, "1"), rank, "a", 0.5, ["b"], [0.9], {})

    lost, far, near = query_result("text", None), query_result("crop", 9), query_result("blur", 2)
    others = [query_result("crop", 7), query_result("logo", 1), query_result("none", 4)]
    others[2] = replace(others[2], variant=CONTROL)
    assert worst_queries([near, *others, far, lost]) == [lost, far, near]


def test_the_report_leads_with_the_weights_and_shows_every_edit(photo_folder: Path) -> None:
    untrained = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    outcome = measured(photo_folder, untrained, sample=2)
    report = robustness_report(outcome, DECODER)
    assert report.lead[0] == "Weights: UNTRAINED, fingerprint feed."
    assert report.lead[1].startswith("UNTRAINED weights")
    assert f"images, in {photo_folder}." in report.lead[2]
    heat, weakest, looks, failures, figures, _ = report.sections
    assert str(heat.blocks[0]).startswith("Figure(name='robustness', png=b'\\x89PNG")
    tables: Any = [weakest.blocks[0], figures.blocks[0]]
    for each in tables:
        shares = [float(row[1]) for row in each.rows]
        assert shares == sorted(shares)
    assert {row[0] for row in tables[0].rows} == set(EDITS)
    assert len(tables[1].rows) == len(edit_variants()) + 1
    strips: Any = looks.blocks[1:]
    assert sum(len(strip.tiles) for strip in strips) == len(edit_variants())
    gallery: Any = failures.blocks[1:]
    for strip in gallery:
        assert [tile.mark for tile in strip.tiles].count("right") == 1
        assert strip.tiles[0].mark == "query"
        assert strip.tiles[1].mark == "wrong"
        for tile in strip.tiles:
            assert tile.image.startswith(b"\xff\xd8")
            assert len(tile.image) < 30_000
