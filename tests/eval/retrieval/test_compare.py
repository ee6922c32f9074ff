from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bogv.embedding.weights import Weights
from bogv.records import Vectors
from eval import __main__ as command_line
from eval.data.datasets import Dataset
from eval.embedding.embed import Embedded
from eval.embedding.settings import EmbeddingSettings
from eval.errors import WorkbenchError
from eval.report.comparison import Comparison, Flips
from eval.report.document import Report
from eval.report.results import PER_QUERY, Mean, WeightsPart, write
from eval.retrieval.compare import compare
from eval.retrieval.measure import search_and_score
from eval.retrieval.result import DatasetCounts, DatasetPart, Run, query_table, read_run
from eval.selftest import made_up
from eval.statistics.intervals import summarise

LABELS = [f"class {number // 4}" for number in range(80)]


def vectors(lost: Sequence[int] = ()) -> Vectors:
    """Every class in a direction of its own; what is lost lies where another class does."""
    rows = np.repeat(np.eye(20, dtype=np.float32), 4, axis=0)
    rows[list(lost)] = rows[[(index + 40) % 80 for index in lost]]
    return rows


def written(
    out: Path, lost: Sequence[int] = (), changes: dict[str, Any] | None = None, **dataset: Any
) -> Path:
    """The folder of a run in which some queries find what is wrong first."""
    made: Dataset = made_up(LABELS)
    embedded = Embedded(vectors(lost), LABELS)
    query_results = search_and_score(made, embedded, "exact", [1, 5], "f", progress=False)
    scores = {
        name: [each.scores[name] for each in query_results] for name in query_results[0].scores
    }
    weights = Weights("custom", None, f"f{len(lost)}")
    part = {
        "id": "made-up",
        "name": "Made up",
        "protocol": "leave-one-out",
        "headline": "hit_rate@1",
        "overlaps_imagenet": "none",
        "unit": "class",
        "limit": None,
        "digest": "d",
        **dataset,
    }
    counts = dict.fromkeys(DatasetCounts.model_fields, 80)
    run = Run(
        weights=WeightsPart(
            name=weights.name, fingerprint=weights.fingerprint, trained=True, note=None
        ),
        command="python -m eval run",
        dataset=DatasetPart.model_validate(part),
        counts=DatasetCounts(**counts),
        n=80,
        k=[1, 5],
        engine="fake",
        backend="exact",
        depth=None,
        seed=0,
        metrics={
            name: Mean.model_validate(dict(mean))
            for name, mean in summarise(scores, None, None, 0).items()
        },
        anchors=[],
        revision=None,
        machine={},
        packages={},
        seconds={},
    )
    changed = run.model_copy(update=changes or {})
    return write(
        out, changed, {PER_QUERY: query_table(query_results)}, Report("None", ["No weights."])
    )


def flips_of(comparison: Comparison) -> Flips:
    assert comparison.flips is not None
    return comparison.flips


def status(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["compare", *map(str, arguments)])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_the_same_run_twice_has_no_difference(tmp_path: Path) -> None:
    a = written(tmp_path)
    found = compare(a, a)
    assert (found.difference.value, found.p_worse) == (0, 1)
    assert found.flips == Flips(1, [], [])
    assert found.verdict == "undecided"  # 20 classes don't show that they are equal
    assert status(a, a) == 0


def test_a_significant_loss_exits_with_1_and_lists_the_flipped_queries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = list(range(0, 40, 4))
    a, b = written(tmp_path / "a"), written(tmp_path / "b", lost)
    assert status(a, b) == 1
    out = capsys.readouterr().out
    assert "B is worse than A by more than 0." in out
    assert "A: weights custom, fingerprint f0" in out
    found = compare(a, b)
    assert found.difference.value == pytest.approx(found.after - found.before)
    assert found.difference.ci95
    assert found.difference.ci95[1] < 0
    assert {f"{index:04}" for index in lost} <= set(flips_of(found).lost)
    assert flips_of(found).won == []
    assert all(f"  {query}\n" in out for query in flips_of(found).lost)


def test_the_other_way_round_it_is_a_gain(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a", range(0, 40, 4)), written(tmp_path / "b")
    assert status(a, b) == 0
    found = compare(a, b)
    assert found.difference.ci95
    assert found.difference.ci95[0] > 0
    assert len(flips_of(found).won) >= 10
    assert flips_of(found).lost == []


def test_an_acceptable_drop_is_not_a_failure(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", range(0, 40, 4))
    low, high = compare(a, b).difference.ci95 or (0, 0)
    assert status(a, b, "--max-drop", str(-low + 0.01)) == 0
    # The drop that was measured may be larger in truth: non-inferiority is not shown.
    assert status(a, b, "--max-drop", str(-low - 0.01)) == 1
    assert status(a, b, "--max-drop", str(-high - 0.01)) == 1


def test_an_insignificant_drop_is_not_a_failure(tmp_path: Path) -> None:
    """One query of eighty, the last: it loses its class, and of equals no one finds it first."""
    a, b = written(tmp_path / "a"), written(tmp_path / "b", [79])
    found = compare(a, b)
    assert flips_of(found).lost == ["0079"]
    assert found.difference.value == pytest.approx(-1 / 80)
    assert found.difference.ci95
    assert found.difference.ci95[1] > 0
    assert found.p_worse == 0.5
    assert status(a, b) == 0


def test_another_metric_can_be_compared(tmp_path: Path) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", range(0, 40, 4))
    assert flips_of(compare(a, b, "hit_rate@5")).k == 5
    found = compare(a, b, "map")
    assert (found.metric, flips_of(found).k) == ("map", 1)
    assert found.before == pytest.approx(1)
    assert found.after == pytest.approx(read_run(b)[0].metrics["map"].value)


def test_json_has_the_verdict_and_the_flips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", range(0, 40, 4))
    assert status(a, b / "run.json", "--json") == 1
    [found] = json.loads(capsys.readouterr().out)["comparisons"]
    assert (found["verdict"], found["metric"], found["n"]) == ("worse", "hit_rate@1", 80)
    assert found["units"] == 20
    assert found["flipped"]["k"] == 1
    assert found["flipped"]["lost"] == flips_of(compare(a, b)).lost


@pytest.mark.parametrize(
    ("dataset", "changes", "what"),
    [
        ({"id": "other"}, {}, "the dataset is made-up in one and other in the other"),
        ({"protocol": "query-gallery"}, {}, "the protocol is leave-one-out in one"),
        ({"limit": 80}, {}, "the limit is None in one and 80"),
        ({}, {"k": [1, 10]}, "the k is"),
        ({"digest": "e"}, {}, "digest"),
    ],
)
def test_runs_of_different_questions_are_refused_with_2(
    tmp_path: Path,
    dataset: dict[str, Any],
    changes: dict[str, Any],
    what: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", changes=changes, **dataset)
    assert status(a, b) == 2
    err = capsys.readouterr().err
    assert err.startswith("eval: The runs can't be compared: ")
    assert what in err
    assert err.count("\n") == 1


def test_settings_may_differ_and_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = EmbeddingSettings(pooling="gem", post="whiten:64")
    a, b = written(tmp_path / "a"), written(tmp_path / "b", changes={"settings": settings})
    assert status(a, b) == 0
    out = capsys.readouterr().out
    assert "gap, 224 px, center, tta none, post none; bogv's own\n" in out
    assert "gem, 224 px, center, tta none, post whiten:64\n" in out
    assert status(a, b, "--json") == 0
    settings = json.loads(capsys.readouterr().out)["comparisons"][0]["settings"]
    assert [each["pooling"] for each in settings] == ["gap", "gem"]


def test_an_unknown_metric_is_refused_and_the_known_are_named(tmp_path: Path) -> None:
    a = written(tmp_path)
    with pytest.raises(WorkbenchError, match=r"no metric 'recall'; they have hit_rate@1, .*map"):
        compare(a, a, "recall")


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "run.json").unlink(),
        lambda folder: (folder / "run.json").write_text("{}"),
        lambda folder: (folder / "run.json").write_text("no json"),
        lambda folder: (folder / "run.json").write_text("null"),
        lambda folder: (folder / "run.json").write_text("[" * 100_000),
        lambda folder: (folder / "run.json").write_text(
            (folder / "run.json").read_text().replace('"schema_version": 3', '"schema_version": 2')
        ),
        lambda folder: (folder / "per_query.parquet").unlink(),
        lambda folder: (folder / "SHA256SUMS").unlink(),
        lambda folder: (folder / "per_query.parquet").write_bytes(
            (next(folder.parent.parent.glob("a/*")) / "per_query.parquet").read_bytes()
        ),
        lambda folder: (folder / "per_query.parquet").write_bytes(b"PAR1 no parquet PAR1"),
    ],
)
def test_an_incomplete_result_prints_one_line_and_exits_with_2(
    tmp_path: Path, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = written(tmp_path / "a"), written(tmp_path / "b", [0])
    damage(b)
    assert status(a, b) == 2
    err = capsys.readouterr().err
    assert err.startswith("eval: ")
    assert err.count("\n") == 1
    assert str(b) in err
