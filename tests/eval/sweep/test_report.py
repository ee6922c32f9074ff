from __future__ import annotations

from pathlib import Path

from eval.report.document import markdown
from eval.sweep.report import caution, short_table, sweep_report
from eval.sweep.result import Sweep
from eval.sweep.settings import SweptSettings
from tests.eval.support.sweep import make_row, make_sweep

SETTINGS = [SweptSettings(), SweptSettings(pooling="gem")]


def test_a_report_has_the_decision_the_tables_and_what_failed(swept: tuple[Path, Sweep]) -> None:
    text = markdown(sweep_report(swept[1]))
    first = text.split("\n\n")
    assert first[0] == "# Sweep: 4 settings on folder"
    assert first[1].startswith("Weights: UNTRAINED")
    assert first[2].startswith("> **UNTRAINED weights")
    assert "Baseline: default, bogv's default" in text
    assert "CAUTION: 1 of 4 settings have no figure." in text
    assert "pca:999 failed: --post asks for 999 dimensions" in text
    assert "corrected for all 2 comparisons of the sweep (Holm)" in text
    assert "16 scored queries in 4 units (class)" in text
    assert "figures/quality-ms.png" in text
    assert "figures/quality-bytes.png" in text
    [line] = [each for each in text.splitlines() if each.startswith("| pca:999 ")]
    assert line.count("|") == 10
    assert "failed" in line


def test_the_spread_over_seeds_is_in_the_table() -> None:
    rows = [make_row(each.title, 0.5, 10, fronts=["ms"]) for each in SETTINGS]
    rows = [row.model_copy(update={"by_seed": {0: 0.4, 1: 0.6}}) for row in rows]
    sweep = make_sweep(rows, SETTINGS, seeds=[0, 1])
    part = sweep.datasets[0].model_copy(
        update={"samples": {0: "a half", 1: "the other"}, "limit": 8}
    )
    text = markdown(sweep_report(sweep.model_copy(update={"datasets": [part]})))
    assert "0.400–0.600" in text
    assert "A SAMPLE, not to be compared with figures of the whole: seed 0: a half; seed 1" in text


def test_it_says_where_seeds_make_no_difference() -> None:
    sweep = make_sweep([make_row("default", 0.5, 10, fronts=["ms"])], SETTINGS[:1], seeds=[0, 1])
    assert "All of it, so that seeds make no difference: seed 0 alone." in markdown(
        sweep_report(sweep)
    )


def test_a_busy_machine_is_told() -> None:
    quiet = make_sweep([make_row("default", 0.5, 10)], SETTINGS[:1])
    busy = make_sweep([make_row("default", 0.5, 10, others=0.4)], SETTINGS[:1])
    assert caution(quiet) is None
    assert "at most 40%" in str(caution(busy))


def test_a_console_line_has_the_verdict_and_the_costs() -> None:
    rows = [make_row("default", 0.5, 10), make_row("gem", 0.6, 20, 512, verdict="better")]
    table = short_table(make_sweep(rows, SETTINGS), "one")
    assert table.rows[0][5] == "baseline"
    assert list(table.rows[1]) == [
        "gem", "0.6000", "[0.500, 0.700]", "+0.1000", "0.010", "better", "20.0", "512", "",
    ]  # fmt: skip
