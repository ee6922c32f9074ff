from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.report.document import Figure, Strip
from eval.retrieval.confusion import UNLABELLED, confusion_figure, confusion_strips, count_confusion
from eval.retrieval.failures import Pictures
from eval.retrieval.report import run_report
from eval.retrieval.scoring import QueryResult
from eval.selftest import made_up
from tests.eval.support.retrieval import DECODER, measured
from tests.eval.support.retrieval_report import blocks

LABELS = ["cat", "cat", "dog", "dog", "fox", "fox"]
DATASET = made_up(LABELS)
NAMES = [item.id for item in DATASET.items]


def result(query: int, hits: list[int], label: str | None = "") -> QueryResult:
    """What a query found; an image is relevant where it has the query's label."""
    places = [rank for rank, hit in enumerate(hits, 1) if LABELS[hit] == LABELS[query]]
    return QueryResult(
        query=NAMES[query],
        label=LABELS[query] if label == "" else label,
        unit=LABELS[query],
        first_relevant=places[0] if places else None,
        first_relevant_id=None,
        first_relevant_score=None,
        relevant=1,
        relevant_places=places,
        top_ids=[NAMES[hit] for hit in hits],
        top_scores=[1 - rank / 10 for rank in range(len(hits))],
        scores={},
    )


RESULTS = [
    result(0, [2, 1, 3, 4]),
    result(1, [3, 0, 2, 5]),
    result(2, [3, 0, 1, 4]),
    result(4, [5, 0, 1, 2]),
]


def test_hits_that_are_not_relevant_are_counted_by_pair_of_classes() -> None:
    found = count_confusion(DATASET, RESULTS, "map")
    assert found is not None
    assert found.k == 10
    assert found.table.to_dict("split")["data"] == [
        ["cat", "dog", 4, 0.5],
        ["cat", "fox", 2, 0.25],
        ["dog", "cat", 2, 0.5],
        ["fox", "cat", 2, 0.5],
        ["dog", "fox", 1, 0.25],
        ["fox", "dog", 1, 0.25],
    ]


def test_the_headlines_k_is_how_far_it_looks() -> None:
    found = count_confusion(DATASET, RESULTS, "hit_rate@1")
    assert found is not None
    assert found.table.to_dict("split")["data"] == [["cat", "dog", 2, 1.0]]
    beyond = count_confusion(DATASET, RESULTS, "recall@50")
    assert beyond is not None
    assert beyond.k == 10


def test_the_example_is_the_mistake_that_ranks_highest() -> None:
    found = count_confusion(DATASET, RESULTS, "map")
    assert found is not None
    example = found.example("cat", "fox")
    assert (example.query, example.hit, example.rank) == (NAMES[0], NAMES[4], 4)
    assert found.example("dog", "cat").rank == 2


def test_there_is_none_without_labels_or_with_a_single_class() -> None:
    assert count_confusion(DATASET, [*RESULTS, result(5, [4], None)], "map") is None
    assert count_confusion(DATASET, RESULTS[:2], "map") is None


def test_a_hit_without_a_label_has_a_column_of_its_own() -> None:
    items = [replace(item, label=None) if n == 3 else item for n, item in enumerate(DATASET.items)]
    found = count_confusion(replace(DATASET, items=items), RESULTS[:3], "map")
    assert found is not None
    assert ["cat", UNLABELLED, 2, 0.25] in found.table.to_dict("split")["data"]
    assert confusion_figure(found) is not None


@pytest.mark.parametrize(("classes", "drawn"), [(40, True), (41, False)])
def test_up_to_forty_classes_have_a_heat_map(classes: int, drawn: bool) -> None:
    made = made_up([f"c{number:02}" for number in range(classes)])
    found = count_confusion(
        made,
        [
            replace(
                RESULTS[0],
                query=item.id,
                label=item.label,
                relevant_places=[],
                top_ids=[made.items[0].id],
                top_scores=[0.5],
            )
            for item in made.items
        ],
        "map",
    )
    assert found is not None
    assert (confusion_figure(found) is not None) == drawn


def test_the_report_shows_the_pairs_with_their_images(class_folders: Path, tmp_path: Path) -> None:
    outcome = measured(tmp_path, "folder", root=class_folders)
    report = run_report(outcome, DECODER)
    strips = [strip for strip in blocks(report, Strip) if strip.name.startswith("confused")]
    # One image of each class is a copy of the next class's: it is mistaken for those, and the
    # other way round at the same rank.
    found = count_confusion(outcome.dataset, outcome.query_results, outcome.run.dataset.headline)
    assert found is not None
    assert len(strips) == len(found.table) >= 4
    first = found.table.iloc[0]
    assert strips[0].caption.startswith(
        f"1. {first.query_class} mistaken for {first.hit_class}: {first.hits} hits, "
    )
    assert [tile.mark for tile in strips[0].tiles] == ["query", "wrong"]
    assert strips[0].tiles[0].caption.startswith(first.query_class)
    assert strips[0].tiles[1].caption.startswith(first.hit_class)
    assert "confusion" in [figure.name for figure in blocks(report, Figure)]


def test_where_all_are_right_nothing_is_drawn(folder: Path, tmp_path: Path) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    report = run_report(outcome, DECODER)
    [section] = [each for each in report.sections if each.title == "Mistaken for what"]
    assert section.blocks == [
        "All images in the top rank are relevant: no class is mistaken for another."
    ]
    found = count_confusion(outcome.dataset, outcome.query_results, "hit_rate@1")
    assert found is not None
    assert confusion_strips(found, Pictures.of(outcome.dataset, DECODER)) == []
    assert found.table.empty
