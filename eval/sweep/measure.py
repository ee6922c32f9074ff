"""A whole sweep: plan the cells, run them, compare the settings, and time embedding.

Definition -> Plan -> Cell, one a setting, dataset and seed -> Sweep
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bogv.embedding.weights import DIMENSION
from eval.data.datasets import load
from eval.errors import WorkbenchError
from eval.harness.stopwatch import Stopwatch
from eval.report.machine import describe_environment
from eval.retrieval.measure import check_answerable
from eval.retrieval.result import Run
from eval.sweep.cells import Cell, CellRunner, Task, digest_of
from eval.sweep.comparisons import Group, Key, compare_groups, group_cells
from eval.sweep.cost import EmbeddingCost, measure_costs, sample_images
from eval.sweep.decision import fronts
from eval.sweep.definition import Axes, DatasetChoice, Definition, LeftOut, plan_settings
from eval.sweep.loading import Loading
from eval.sweep.result import Change, Cost, Front, Row, Sweep, SweptDataset, Verdict
from eval.sweep.settings import SweptSettings

MAX_DROP = 0.01


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep is run."""

    out: Path
    cache: Path
    ks: Sequence[int] = (1, 5, 10)
    max_drop: float = MAX_DROP
    """The margin of `not worse`."""
    command: str = ""
    progress: bool = True


@dataclass(frozen=True)
class Plan:
    """What a definition comes to."""

    definition: Definition
    settings: list[SweptSettings]
    """The baseline first."""
    left_out: list[LeftOut]
    tasks: list[Task]
    """Those that share a network follow each other."""

    @property
    def notes(self) -> list[str]:
        """What a user has to know before it starts."""
        tasks, seeds = self.tasks, self.definition.seeds
        whole = sorted({task.choice.id for task in tasks if task.dataset.sample is None})
        views = len({each.view for each in self.settings})
        counts = (
            f"{_count(len(tasks), 'run')}: {_count(len(self.settings), 'setting')},"
            f" {_count(len(self.definition.datasets), 'dataset')};"
            f" {_count(views, 'embedding')} of each image"
        )
        found = [counts]
        if len(seeds) > 1 and whole:
            found.append(
                f"Seeds only draw samples: {', '.join(whole)} is taken as a whole, with seed"
                f" {seeds[0]} alone."
            )
        found += [f"Left out: {each.name}: {each.reason}" for each in self.left_out]
        return found


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def plan_sweep(definition: Definition) -> Plan:
    """Load the datasets and list the cells. Raises DatasetError, WorkbenchError."""
    settings, left_out = plan_settings(definition)
    networks = [(each.precision, each.pooling, each.size) for each in settings]
    ordered = sorted(settings, key=lambda s: networks.index((s.precision, s.pooling, s.size)))
    samples = []
    for choice in definition.datasets:
        for seed in definition.seeds:
            dataset = load(choice.id, choice.root, limit=choice.limit, seed=seed)
            check_answerable(dataset)
            samples.append((choice, dataset, digest_of(dataset), seed))
            if dataset.sample is None:
                break  # another seed would draw the same
    tasks = [Task(each, *sample) for each in ordered for sample in samples]
    return Plan(definition, settings, left_out, tasks)


def measure(plan: Plan, loading: Loading, options: SweepOptions) -> Sweep:
    """Run what isn't there yet, and compare all.

    Raises WorkbenchError where no cell could be run, with the reason of the first.
    """
    watch = Stopwatch()
    options.out.mkdir(parents=True, exist_ok=True)
    roots = {choice.id: choice.root for choice in plan.definition.datasets}
    runner = CellRunner(loading, options.out, options.cache, options.ks, roots, options.progress)
    cells = list(_run_cells(plan.tasks, runner))
    watch.lap("runs")
    if all(cell.error for cell in cells):
        raise WorkbenchError(f"None of the {len(cells):,} runs could be made: {cells[0].error}")
    groups = group_cells(cells)
    changes = compare_groups(groups, plan.settings[0].title, options.max_drop)
    watch.lap("compare")
    costs = _measure_costs(plan, groups, loading)
    watch.lap("costs")
    return _sweep(plan, options, groups, _rows(plan, groups, changes, costs), len(changes), watch)


def _rows(
    plan: Plan,
    groups: Mapping[Key, Group],
    changes: Mapping[Key, tuple[Change, Verdict]],
    costs: Mapping[tuple[str, str], EmbeddingCost],
) -> list[Row]:
    rows: list[Row] = []
    for choice in plan.definition.datasets:
        keys = {(choice.id, each.title): each for each in plan.settings}
        rows += _mark_fronts(
            [
                _row(key, each, groups[key], changes.get(key), costs.get((choice.id, each.view)))
                for key, each in keys.items()
            ]
        )
    return rows


def _sweep(
    plan: Plan,
    options: SweepOptions,
    groups: Mapping[Key, Group],
    rows: list[Row],
    comparisons: int,
    watch: Stopwatch,
) -> Sweep:
    baseline = plan.settings[0].title
    keys = [(choice.id, baseline) for choice in plan.definition.datasets]
    done = [*keys, *groups]
    run = next(groups[key].run for key in done if not groups[key].error)
    tasks = {
        choice.id: [
            task
            for task in plan.tasks
            if (task.choice.id, task.settings.title) == (choice.id, baseline)
        ]
        for choice in plan.definition.datasets
    }
    return Sweep(
        weights=run.weights,
        engine=run.engine,
        command=options.command,
        n=sum(row.n for row in rows),
        seed=plan.definition.seeds[0],
        metrics={_metric(row, groups): row.mean for row in rows if row.mean is not None},
        datasets=[
            _dataset(choice, tasks[choice.id], groups[choice.id, baseline])
            for choice in plan.definition.datasets
        ],
        seeds=list(plan.definition.seeds),
        design=plan.definition.design if isinstance(plan.definition.settings, Axes) else None,
        settings=plan.settings,
        left_out=plan.left_out,
        comparisons=comparisons,
        max_drop=options.max_drop,
        rows=rows,
        **describe_environment(),
        seconds=watch.seconds,
    )


def _metric(row: Row, groups: Mapping[Key, Group]) -> str:
    """`hit_rate@1/clothing/gem`, for summary.csv."""
    return f"{groups[row.dataset, row.setting].metric}/{row.dataset}/{row.setting}"


def _run_cells(tasks: Sequence[Task], runner: CellRunner) -> Iterable[Cell]:
    said: set[str] = set()
    for number, task in enumerate(tasks, 1):
        cell = runner.run(task)
        _say(f"[{number}/{len(tasks)}] {task.title}: {_outcome(cell)}")
        for note in cell.notes:
            if note not in said:
                _say(note)
            said.add(note)
        yield cell


def _outcome(cell: Cell) -> str:
    if cell.run is None:
        return f"FAILED: {cell.error}"
    done = " (was there)" if cell.found else ""
    return f"{cell.run.dataset.headline} {cell.run.headline.value:.4f}{done}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _measure_costs(
    plan: Plan, groups: Mapping[Key, Group], loading: Loading
) -> dict[tuple[str, str], EmbeddingCost]:
    """By dataset and view: what settings that differ in post-processing only have in common."""
    found: dict[tuple[str, str], EmbeddingCost] = {}
    for choice in plan.definition.datasets:
        task = next(task for task in plan.tasks if task.choice.id == choice.id)
        views: dict[str, SweptSettings] = {}
        for each in plan.settings:
            if not groups[choice.id, each.title].error:
                views.setdefault(each.view, each)
        if views:
            _say(f"{choice.id}: timing {len(views):,} ways to embed an image")
            images = sample_images(task.dataset)
            costs = measure_costs(loading, images, list(views.values()))
            found |= {(choice.id, view): cost for view, cost in zip(views, costs, strict=True)}
    return found


def _row(
    key: Key,
    settings: SweptSettings,
    group: Group,
    change: tuple[Change, Verdict] | None,
    embedding: EmbeddingCost | None,
) -> Row:
    row = Row(
        dataset=key[0],
        setting=key[1],
        runs=[cell.folder for cell in group.cells if cell.folder],
        error=group.error,
    )
    if group.error or embedding is None:
        return row
    return row.model_copy(
        update={
            "n": sum(cell.run.n for cell in group.cells if cell.run is not None),
            "mean": group.mean(),
            "by_seed": group.by_seed(),
            "change": change and change[0],
            "verdict": change and change[1],
            "cost": _cost(settings, group, embedding),
        }
    )


def _cost(settings: SweptSettings, group: Group, embedding: EmbeddingCost) -> Cost:
    run = group.run
    per_query, gallery = (run.seconds.get(f"rerank_{part}") for part in ("per_query", "gallery"))
    _, _, dimension = settings.post.partition(":")
    return Cost(
        embed_ms=embedding.ms,
        embed_ratio=(embedding.ratio, embedding.lowest, embedding.highest),
        rerank_ms=None if per_query is None else round(1000 * per_query, 3),
        rerank_gallery_seconds=gallery,
        bytes_per_vector=4 * int(dimension or DIMENSION) + (run.rerank_bytes_per_vector or 0),
        others=embedding.others,
    )


def _mark_fronts(rows: Sequence[Row]) -> list[Row]:
    """The rows of one dataset, with the Pareto fronts that each is on."""
    points = [(row, row.mean.value, row.cost) for row in rows if row.mean and row.cost]
    by_cost: dict[Front, set[int]] = {
        "ms": fronts([(value, cost.ms) for _, value, cost in points]),
        "bytes": fronts([(value, cost.bytes_per_vector) for _, value, cost in points]),
    }
    marks = {
        row.setting: [name for name, best in by_cost.items() if index in best]
        for index, (row, _, _) in enumerate(points)
    }
    return [row.model_copy(update={"fronts": marks.get(row.setting, [])}) for row in rows]


def _dataset(choice: DatasetChoice, tasks: Sequence[Task], baseline: Group) -> SweptDataset:
    task = tasks[0]
    return SweptDataset(
        id=choice.id,
        name=task.dataset.spec.name,
        headline=task.dataset.spec.headline,
        unit=task.dataset.unit_name,
        limit=choice.limit,
        samples={each.seed: each.dataset.sample for each in tasks},
        digests={each.seed: each.digest for each in tasks},
        queries_with_duplicate=None if baseline.error else _duplicates(baseline.run),
    )


def _duplicates(run: Run) -> int:
    return run.counts.queries_with_duplicate + (run.counts.queries_with_same_pixels or 0)
