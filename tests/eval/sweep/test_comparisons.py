from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.errors import WorkbenchError
from eval.retrieval.result import Run, read_run
from eval.sweep.cells import Cell, Task
from eval.sweep.comparisons import Group, Key, compare_groups, group_cells
from eval.sweep.result import Sweep
from eval.sweep.settings import SweptSettings
from tests.eval.support.sweep import make_plan

QUERIES = 60


@pytest.fixture
def task(root: Path) -> Task:
    return make_plan(root, [{}]).tasks[0]


@pytest.fixture
def run(swept: tuple[Path, Sweep]) -> Run:
    out, sweep = swept
    return read_run(out / sweep.rows[0].runs[0])[0]


def answers(right: np.ndarray) -> pd.DataFrame:
    names = [f"q{number:03}" for number in range(len(right))]
    return pd.DataFrame({"query": names, "unit": names, "hit_rate@1": right.astype(float)})


def grouped(task: Task, run: Run, **columns: np.ndarray) -> dict[Key, Group]:
    found: dict[Key, Group] = {}
    for name, right in columns.items():
        settings = SweptSettings(name=name)
        cell = Cell(
            Task(settings, task.choice, task.dataset, task.digest, 0), run, answers(right), name
        )
        found |= group_cells([cell])
    return found


def test_verdicts_are_of_two_tests_and_a_margin(task: Task, run: Run) -> None:
    half = np.arange(QUERIES) % 2 == 0
    groups = grouped(
        task,
        run,
        base=half,
        best=np.ones(QUERIES, bool),
        worst=np.zeros(QUERIES, bool),
        same=half,
        other=half ^ (np.arange(QUERIES) < 6),
    )
    found = {key[1]: pair for key, pair in compare_groups(groups, "base", 0.05).items()}
    assert {name: verdict for name, (_, verdict) in found.items()} == {
        "best": "better",
        "worst": "worse",
        "same": "not worse",
        "other": "undecided",
    }
    best, worst = found["best"][0], found["worst"][0]
    assert (best.value, worst.value) == (0.5, -0.5)
    assert best.p == worst.p < 0.01
    assert found["same"][0].p == 1


def test_p_values_are_corrected_for_all_comparisons(task: Task, run: Run) -> None:
    base = np.zeros(QUERIES, bool)
    gains = base.copy()
    gains[:8] = True
    alone = compare_groups(grouped(task, run, base=base, gains=gains), "base", 0)
    others = {f"other{number}": base for number in range(9)}
    among = compare_groups(grouped(task, run, base=base, gains=gains, **others), "base", 0)
    [(change, verdict)] = alone.values()
    assert (change.p, verdict) == (2 / 2**8, "better")
    change, verdict = among["folder", "gains"]
    assert change.p == pytest.approx(2 * 10 / 2**8)
    assert verdict == "not worse"


def test_seeds_are_paired_with_themselves(task: Task, run: Run) -> None:
    right = np.arange(QUERIES) < 20
    cells = {
        name: [
            Cell(task, run.model_copy(update={"seed": seed}), answers(column), name)
            for seed, column in enumerate(columns)
        ]
        for name, columns in {"a": (right, ~right), "b": (~right, right)}.items()
    }
    before, after = Group(cells["a"]), Group(cells["b"])
    assert before.mean().value == 0.5
    compared = after.compare(before)
    assert (compared.n, compared.difference.units) == (2 * QUERIES, QUERIES)
    assert compared.difference.value == 0


def test_runs_of_other_images_are_not_compared(task: Task, run: Run) -> None:
    right = np.ones(QUERIES, bool)
    other = run.model_copy(update={"dataset": run.dataset.model_copy(update={"digest": "another"})})
    before, after = Cell(task, run, answers(right)), Cell(task, other, answers(right))
    with pytest.raises(WorkbenchError, match="digest"):
        Group([after]).compare(Group([before]))


def test_a_group_fails_with_its_first_failing_cell(task: Task, run: Run) -> None:
    cells = [Cell(task, run, answers(np.ones(3, bool))), Cell(task, error="first"), Cell(task)]
    assert Group(cells).error == "first"
    assert Group(cells[:1]).error is None
