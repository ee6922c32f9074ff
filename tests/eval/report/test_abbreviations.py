from __future__ import annotations

from typing import cast

from eval.report.abbreviations import ABBREVIATIONS, spell_out
from eval.report.document import Report, Section, Table, markdown

WORDS = ["pooling gap, tta none", "map and map@r; p99 of HNSW, M16 and efC200", "ef=256, ROC"]


def report(*words: str) -> Report:
    return Report("A report", ["Its lead."], [Section("Found", words), Section("Where from", [])])


def terms(of: Report) -> list[str]:
    [section] = [each for each in of.sections if each.title == "Abbreviations"]
    return [row[0] for row in cast("Table", section.blocks[0]).rows]


def test_abbreviations_are_spelt_out_once_and_only_where_they_occur() -> None:
    spelt_out = spell_out(report(*WORDS))
    assert terms(spelt_out) == [
        "gap",
        "tta",
        "map",
        "map@r",
        "ROC",
        "HNSW",
        "efC",
        "ef",
        "p99",
    ]
    for term in ("map@r", "p99"):
        assert markdown(spelt_out).count(ABBREVIATIONS[term]) == 1
    assert [each.title for each in spelt_out.sections] == ["Found", "Abbreviations", "Where from"]


def test_a_report_without_any_stays_as_it_is() -> None:
    assert spell_out(report("nothing of the kind")) == report("nothing of the kind")
    assert spell_out(Report("", [], [])) == Report("", [], [])
