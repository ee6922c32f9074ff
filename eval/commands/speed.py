"""`speed`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bogv.config import Precision
from eval.commands.shared import Json, Out, WeightsOption, print_json, typed_command, weights_line
from eval.report.results import write
from eval.speed.measure import measure
from eval.speed.report import cells, others_note, speed_report
from eval.speed.result import Speed
from eval.speed.setting import SpeedOptions


def speed(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of images to make the inputs from. By default bogv's samples."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=4, help="Images of 640 × 480; a quarter as many of 12 megapixels.")
    ] = SpeedOptions.count,
    gallery: Annotated[
        int, typer.Option(min=10, help="Rows that are searched.")
    ] = SpeedOptions.gallery,
    searches: Annotated[
        int, typer.Option(min=1, help="For each of 1, 8 and 16 clients.")
    ] = SpeedOptions.searches,
    soak: Annotated[
        int, typer.Option(min=1, help="Searches between two measurements of the server's memory.")
    ] = SpeedOptions.soak,
    precision: Annotated[
        Precision, typer.Option(help="int8 needs the model made by `bogv quantize`.")
    ] = "auto",
    weights: WeightsOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs and the rows.")] = 0,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Measure bogv's speed: each stage by itself, the bound, a baseline, bogv, the ratios.

    About five minutes on two quiet cores, in temporary folders, on Milvus Lite. Whatever is
    reached, the exit status is 0.
    """
    options = SpeedOptions(
        images=images,
        count=count,
        gallery=gallery,
        searches=searches,
        soak=soak,
        weights=weights,
        precision=precision,
        seed=seed,
        command=typed_command(context),
    )
    found = measure(options)
    folder = write(out, found, {}, speed_report(found))
    for note in (found.weights.note, others_note(found)):
        if note is not None:
            print(note, file=sys.stderr)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, folder)


def _print(found: Speed, folder: Path) -> None:
    print(f"Weights:  {weights_line(found.weights)}")
    print(f"Engine:   {found.engine}, {found.cores} cores of {found.machine['processor']}")
    print(f"Inputs:   {found.n:,} of 640 × 480, {found.large:,} of 12 megapixels\n")
    for stages in found.stages:
        parts = ", ".join(f"{stage} {value:.2f}" for stage, value in stages.cpu_ms.items())
        print(f"{stages.what}, ms of one core: {parts}")
        busy = "" if stages.busy_bound is None else f"; of busy cores {stages.busy_bound:.1f}"
        print(f"  the bound: {stages.bound:.1f} images/s{busy}\n")
    for each in found.lines:
        what, baseline, bogv, ratio, wanted, verdict = cells(each)
        print(f"{what}: {bogv}" + (f", {ratio} {baseline}" if baseline else ""))
        if wanted:
            print(f"  to reach {wanted}: {verdict or 'unknown'}")
    print(f"\n{folder}")
