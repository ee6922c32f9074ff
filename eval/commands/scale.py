"""`scale`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bogv.config import Settings
from bogv.embedding.weights import DIMENSION
from eval.commands.shared import Json, Out, print_json, typed_command, weights_line
from eval.report.results import write
from eval.scale.measure import ScaleOptions, measure
from eval.scale.report import others_note, scale_report, shares_text
from eval.scale.result import POINTS, Scale, points_table

MAX_ROWS = 10**9
"""Some 8 TB of vectors."""


def scale(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    rows: Annotated[
        str, typer.Option(help="Separated by commas. 100,000 take 5 GB of disk and minutes.")
    ] = "1000,10000,100000",
    queries: Annotated[
        int, typer.Option(min=1, help="Held out of the rows.")
    ] = ScaleOptions.queries,
    k: Annotated[int, typer.Option(min=1, max=1000, help="Nearest neighbours.")] = ScaleOptions.k,
    dimension: Annotated[int, typer.Option(min=2, help="Of the vectors.")] = DIMENSION,
    warm_up: Annotated[
        int, typer.Option(min=0, help="Queries whose time isn't counted.")
    ] = ScaleOptions.warm_up,
    seed: Annotated[int, typer.Option(min=0, help="Of the vectors and the intervals.")] = 0,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Measure how a gallery grows: adding, building, searching, memory, disk, restart.

    On Milvus Lite, or on the server that MILVUS_HOST names, in a collection of its own, which is
    removed afterwards.
    """
    options = ScaleOptions(
        rows=_parse_rows(rows),
        queries=queries,
        k=k,
        dimension=dimension,
        seed=seed,
        warm_up=warm_up,
        lite=Settings().milvus_host is None,
        command=typed_command(context),
    )
    found = measure(options)
    folder = write(out, found, {POINTS: points_table(found)}, scale_report(found))
    if (busy := others_note(found)) is not None:
        print(busy, file=sys.stderr)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, folder)


def _parse_rows(text: str) -> list[int]:
    try:
        rows = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter("--rows takes whole numbers with commas: 1000,10000") from error
    if max(rows) > MAX_ROWS:
        raise typer.BadParameter(f"each of --rows must be at most {MAX_ROWS:,}")
    return rows


def _print(found: Scale, folder: Path) -> None:
    print(f"Weights:  {weights_line(found.weights)}")
    print(f"Database: {found.database}, vectors of {found.dimension} dimensions\n")
    print(
        f"{'rows':>9} {'added/s':>8} {'build s':>8} {'p50 ms':>8} {'p99 ms':>8} {'recall':>8}"
        f" | {'while built: p50':>16} {'recall':>8} | {'MiB':>6} {'disk':>6} {'restart s':>9}"
        f" | {'others':>18}"
    )
    for point in found.points:
        memory, disk = (
            "" if each is None else f"{each:,.0f}" for each in (point.memory_mib, point.disk_mib)
        )
        print(
            f"{point.rows:9,} {point.add_rate:8,.0f} {point.build_seconds:8.1f}"
            f" {point.built.p50_ms:8.1f} {point.built.p99_ms:8.1f} {point.built.ann_recall:8.4f}"
            f" | {point.building.p50_ms:16.1f} {point.building.ann_recall:8.4f}"
            f" | {memory:>6} {disk:>6} {point.restart_seconds:9.2f}"
            f" | {shares_text(point):>18}"
        )
    print(f"\nrecall: ann_recall@{found.k}, against exact search")
    print("others: CPU time that other processes used (adding, building, restarting, searching)")
    print(folder)
