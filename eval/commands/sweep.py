"""`sweep`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from bogv.config import Engine, Settings
from eval.commands.shared import (
    Json,
    Out,
    WeightsOption,
    parse_ks,
    print_json,
    typed_command,
    weights_line,
)
from eval.errors import WorkbenchError
from eval.report.results import write
from eval.sweep.decision import decide
from eval.sweep.definition import Definition, Design, make_definition, read_definition
from eval.sweep.loading import Loading
from eval.sweep.measure import MAX_DROP, Plan, SweepOptions, measure, plan_sweep
from eval.sweep.report import caution, short_table, sweep_report
from eval.sweep.result import TABLE, Sweep, sweep_table

VALUES = typer.Option(help="Values, with commas; `run --help` explains them.")
Values = Annotated[str, VALUES]


def sweep(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    definition: Annotated[
        Path | None,
        typer.Argument(help="A YAML file, as eval/sweep/default.yaml; or use the options."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="An id, or id=FOLDER; may be repeated. Instead of the file's."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="Maximum number of images of each dataset.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Of the samples: 0,1,2. By default 0.")] = "",
    design: Annotated[
        Design | None, typer.Option(help="Each change by itself, or all combinations.")
    ] = None,
    pooling: Values = "",
    size: Values = "",
    scales: Annotated[
        list[str] | None, typer.Option(help="One value, as 0.7071,1,1.4142; may be repeated.")
    ] = None,
    crop: Values = "",
    tta: Values = "",
    post: Values = "",
    fit_on: Values = "",
    rerank: Values = "",
    precision: Values = "",
    k: Annotated[str, typer.Option(help="Ranks for recall@k and the like.")] = "1,5,10",
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="Inference engine.")] = "auto",
    max_drop: Annotated[
        float, typer.Option(min=0, help="The margin of `not worse`, 0.01 for a point.")
    ] = MAX_DROP,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs, and end.")] = False,
    out: Out = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Cache of embeddings. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run many settings on several datasets, and compare each with the baseline: quality and cost.

    Each run is an ordinary `run` below --out; those that are there are not made again, so that an
    interrupted sweep goes on. Exit status 1 if a run failed; the others are in the table.
    """
    values = {
        "pooling": _split(pooling),
        "size": _split(size),
        "scales": [each.split(",") for each in scales or []],
        "crop": _split(crop),
        "tta": _split(tta),
        "post": _split(post),
        "fit_on": _split(fit_on),
        # A comma before a parameter belongs to the method: aqe:n=5,alpha=3
        "rerank": re.split(r",(?![a-z0-9]+=)", rerank) if rerank else [],
        "precision": _split(precision),
    }
    given = _changes(dataset or [], limit, seeds, design)
    plan = plan_sweep(_definition(definition, given, {n: v for n, v in values.items() if v}, limit))
    for note in plan.notes:
        print(note, file=sys.stderr)
    if dry_run:
        _print_plan(plan, as_json)
        return
    settings = Settings()
    loading = Loading(
        weights=weights,
        engine=engine,
        cache_dir=settings.cache_dir,
        models_dir=settings.models_dir,
        max_upload=settings.max_upload,
        max_pixels=settings.max_pixels,
    )
    cached = cache or settings.cache_dir / "eval"
    options = SweepOptions(
        out=out, cache=cached, ks=parse_ks(k), max_drop=max_drop, command=typed_command(context)
    )
    found = measure(plan, loading, options)
    table = sweep_table(found)
    files = {TABLE: lambda path: table.to_csv(path, index=False)}
    folder = write(out, found, {}, sweep_report(found), files)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_sweep(found, folder)
    if found.failed:
        raise typer.Exit(1)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _changes(
    datasets: list[str], limit: int | None, seeds: str, design: Design | None
) -> dict[str, Any]:
    """What options say instead of a file."""
    changes: dict[str, Any] = {}
    if datasets:
        pairs = [each.partition("=") for each in datasets]
        changes["datasets"] = [
            {"id": name, "root": root or None, "limit": limit} for name, _, root in pairs
        ]
    if seeds:
        changes["seeds"] = _split(seeds)
    if design is not None:
        changes["design"] = design
    return changes


def _definition(
    path: Path | None, changes: dict[str, Any], values: dict[str, Any], limit: int | None
) -> Definition:
    if path is None:
        if not values or "datasets" not in changes:
            raise WorkbenchError(
                "Name a YAML file; or at least one --dataset and values, as --pooling gap,gem."
            )
        return make_definition({**changes, "settings": values}, "The options")
    if values:
        raise WorkbenchError(
            f"The settings are those of {str(path)!r}: --{next(iter(values)).replace('_', '-')}"
            " can't be added."
        )
    found = read_definition(path)
    kept = found.model_dump(mode="json", exclude_unset=True)
    if limit is not None:
        kept["datasets"] = [{**each, "limit": limit} for each in kept["datasets"]]
    return make_definition({**kept, **changes}, str(path))


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "runs": [task.title for task in plan.tasks],
                "left_out": [each.model_dump() for each in plan.left_out],
            }
        )
        return
    for task in plan.tasks:
        print(f"{task.title}  ({len(task.dataset.items):,} images)")


def _print_sweep(found: Sweep, folder: Path) -> None:
    print(f"Weights:  {weights_line(found.weights)}")
    if found.weights.note:
        print(found.weights.note)
    if (busy := caution(found)) is not None:
        print(busy)
    for dataset in found.datasets:
        table = short_table(found, dataset.id)
        lines = [table.columns, *table.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(table.columns))]
        print(f"\n{dataset.name}: {dataset.headline}")
        for line in lines:
            first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            print("  ".join([first.lstrip().ljust(widths[0]), *others]))
    print()
    for line in decide(found):
        print(line)
    for row in found.failed:
        print(f"FAILED: {row.dataset}, {row.setting}: {row.error}")
    print(f"\n{folder}")
